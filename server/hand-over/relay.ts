/**
 * A TLS session cannot move to another process: the front keeps it and passes the plain bytes to the worker through a
 * Unix socket, on which the record of the hand-over comes first, as one line
 * (docs/decisions/006-tls-ends-in-the-front.md).
 */
import { connect, type Socket } from "node:net";
import { unquiet } from "./quiet-socket.ts";
import type { HandOverRecord } from "./record.ts";

/** Unread bytes of a pipelining client are in it. */
export const RELAY_LINE_BYTES_MAX = 4 * 1024 * 1024;

/** `settled` tells whether the worker was reached; afterwards both sockets live and die together. */
export function relay(
  path: string,
  record: HandOverRecord,
  client: Socket,
  failed: () => void,
): void {
  const worker = connect({ path, allowHalfOpen: true });
  let isConnected = false;
  worker.once("connect", () => {
    isConnected = true;
    worker.write(`${JSON.stringify(record)}\n`);
    unquiet(client);
    client.pipe(worker).pipe(client);
  });
  worker.on("error", () => {
    if (isConnected) client.destroy();
    else failed();
  });
  worker.once("close", () => {
    if (isConnected) client.destroySoon();
  });
  client.once("close", () => worker.destroy());
}

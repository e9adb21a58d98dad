/**
 * A TLS session cannot move to another process: the front keeps it and passes the plain bytes to the worker through a
 * Unix socket, on which the record of the hand-over comes first, as one line
 * (docs/decisions/006-tls-ends-in-the-front.md).
 */
import { connect, type Socket } from "node:net";
import type { HandOverRecord } from "./record.ts";
import { unquiet } from "./quiet-socket.ts";

/** Unread bytes of a pipelining client are in it. */
export const RELAY_LINE_BYTES_MAX = 4 * 1024 * 1024;
/** For a client to take the last reply and close, when its worker is done. */
const LINGER_MS = 5_000;

export interface RelayEvents {
  /** The worker was not reached: the record has not left. */
  failed(): void;
  /** Nothing is held any more. */
  ended(): void;
}

export class Relay {
  readonly #client: Socket;
  readonly #worker: Socket;
  readonly #events: RelayEvents;
  #isConnected = false;

  constructor(path: string, record: HandOverRecord, client: Socket, events: RelayEvents) {
    this.#client = client;
    this.#events = events;
    const worker = connect({ path, allowHalfOpen: true });
    this.#worker = worker;
    worker.once("connect", () => {
      this.#isConnected = true;
      worker.write(`${JSON.stringify(record)}\n`);
      // The end of a client that has closed its side already would not come again.
      const isOver = client.readableEnded;
      unquiet(client);
      client.pipe(worker).pipe(client);
      if (isOver) worker.end();
    });
    worker.on("error", () => worker.destroy());
    worker.once("end", () => this.linger());
    worker.once("close", () => this.#closed());
    client.once("close", () => worker.destroy());
  }

  /** The worker is done with the session: the client may take what is left, for a while. */
  linger(): void {
    const timer = setTimeout(() => {
      this.#client.destroy();
      this.#worker.destroy();
    }, LINGER_MS);
    timer.unref();
    this.#client.once("close", () => clearTimeout(timer));
  }

  #closed(): void {
    if (!this.#isConnected) {
      this.#events.failed();
      return;
    }
    this.#client.destroySoon();
    this.linger();
    if (this.#client.destroyed) this.#events.ended();
    else this.#client.once("close", () => this.#events.ended());
  }
}

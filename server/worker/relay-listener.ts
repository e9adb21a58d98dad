/**
 * Takes the sessions that the front relays (hand-over/relay.ts): on a socket in a directory that nobody else may
 * enter. The first line is the record; what follows are the client's bytes.
 */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { HAND_OVER_VERSION, type HandOverRecord } from "../hand-over/record.ts";
import { RELAY_LINE_BYTES_MAX } from "../hand-over/relay.ts";
import { makeRelayDirectory, removeRelayDirectory } from "../hand-over/relay-directory.ts";

const LF = 0x0a;

/** Resolves with the path of the socket. */
export async function listenForRelays(
  take: (record: HandOverRecord, socket: Socket) => void,
): Promise<string> {
  const { directory, socket: path } = makeRelayDirectory();
  process.once("exit", () => removeRelayDirectory(directory));
  const server = createServer({ allowHalfOpen: true }, (socket) => readRecord(socket, take));
  server.listen({ path, backlog: 1024 });
  await once(server, "listening");
  // What keeps a worker is its channel.
  server.unref();
  return path;
}

/** Undefined: who connected is not our front. */
function parseRecord(line: string): HandOverRecord | undefined {
  try {
    const record = JSON.parse(line) as HandOverRecord | null;
    const isOurs = record?.type === "session" && record.version === HAND_OVER_VERSION;
    return isOurs ? record : undefined;
  } catch {
    return undefined;
  }
}

function readRecord(socket: Socket, take: (record: HandOverRecord, socket: Socket) => void): void {
  let bytes = Buffer.alloc(0);
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    const end = bytes.indexOf(LF);
    if (end === -1) {
      if (bytes.length > RELAY_LINE_BYTES_MAX) socket.destroy();
      return;
    }
    socket.removeAllListeners("data");
    socket.pause();
    const record = parseRecord(bytes.toString("utf8", 0, end));
    if (record === undefined) {
      socket.destroy();
      return;
    }
    const early = bytes.subarray(end + 1);
    if (early.length > 0) socket.unshift(early);
    take(record, socket);
  });
}

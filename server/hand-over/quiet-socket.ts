/**
 * A socket that is to move to another process must not read any more: what libuv reads after that is lost. The pause of
 * a stream is not enough, it takes effect with the next chunk; so the handle itself is stopped. Node has no public
 * way; a contract test (test/hand-over-contract.test.ts) holds it to this one.
 */
import type { Socket } from "node:net";
import { assert } from "../../base/assert.ts";

interface Handle {
  reading: boolean;
  readStop(): number;
}

/**
 * Stops reading; returns what was read and not consumed. The stream asks for more on its own in a later turn of the
 * event loop, so it is kept from asking.
 */
export function quiet(socket: Socket): Buffer {
  const handle = (socket as unknown as { _handle: Handle | null })._handle;
  assert(handle !== null, "a socket that is not closed has a handle");
  socket.pause();
  socket._read = () => undefined;
  const chunks: Buffer[] = [];
  while (socket.readableLength > 0) chunks.push(socket.read() as Buffer);
  handle.readStop();
  handle.reading = false;
  return Buffer.concat(chunks);
}

/** Takes back what `quiet` did: for a socket that stays. */
export function unquiet(socket: Socket): void {
  delete (socket as Partial<Socket>)._read;
  // The stream believes that it has asked for more already.
  socket._read(0);
  socket.resume();
}

/**
 * The thread that writes NOTIFY_INVAL_INODE and NOTIFY_STORE. Such a write waits for pages whose READ or WRITE is still
 * to be answered, and the thread that answers is another one: so the two can never wait for each other.
 *
 * A message is one batch: a Float64Array of pairs (inode, offset; offset < 0: attributes only), or the last byte of one
 * file. The answer is sent when all of it is written: the pairs whose inode the kernel does not have, in a
 * row. null ends the thread.
 */
import { writeSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import type { LastByte } from "./invalidation.ts";
import { inodeChanged, lastByte } from "./notification.ts";

const descriptor = workerData as number;

/** False when the kernel does not have the inode. */
function write(notification: Buffer): boolean {
  try {
    writeSync(descriptor, notification);
  } catch (error) {
    // ENOENT: the kernel has forgotten the inode, or has not yet taken in the reply that names it. ENODEV:
    // the mount is gone, and nothing is cached any more. Any other error would be a malformed message,
    // which tests would show.
    return (error as NodeJS.ErrnoException).code !== "ENOENT";
  }
  return true;
}

parentPort?.on("message", (batch: Float64Array | LastByte | null) => {
  if (batch === null) {
    parentPort?.close();
    return;
  }
  const missing: number[] = [];
  if ("byte" in batch) {
    // A kernel that has no such inode has no size of it.
    write(lastByte(batch.ino, batch.offset, batch.byte));
    parentPort?.postMessage(missing, []);
    return;
  }
  for (let index = 0; index < batch.length; index += 2) {
    const ino = batch[index] ?? 0;
    const offset = batch[index + 1] ?? -1;
    if (!write(inodeChanged(ino, offset))) missing.push(ino, offset);
  }
  parentPort?.postMessage(missing, []);
});

/**
 * The thread that writes NOTIFY_INVAL_INODE. Such a write waits for pages whose READ or WRITE is still to be
 * answered, and the thread that answers is another one: so the two can never wait for each other.
 *
 * A message is one batch: a Float64Array of pairs (inode, offset; offset < 0: attributes only). The answer is
 * sent when all of it is written: the pairs whose inode the kernel does not have, in a row. null ends the thread.
 */
import { writeSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { inodeChanged } from "./notification.ts";

const descriptor = workerData as number;

/** False when the kernel does not have the inode. */
function invalidate(ino: number, offset: number): boolean {
  try {
    writeSync(descriptor, inodeChanged(ino, offset));
  } catch (error) {
    // ENOENT: the kernel has forgotten the inode, or has not yet taken in the reply that names it. ENODEV:
    // the mount is gone, and nothing is cached any more. Any other error would be a malformed message,
    // which tests would show.
    return (error as NodeJS.ErrnoException).code !== "ENOENT";
  }
  return true;
}

parentPort?.on("message", (batch: Float64Array | null) => {
  if (batch === null) {
    parentPort?.close();
    return;
  }
  const missing: number[] = [];
  for (let index = 0; index < batch.length; index += 2) {
    const ino = batch[index] ?? 0;
    const offset = batch[index + 1] ?? -1;
    if (!invalidate(ino, offset)) missing.push(ino, offset);
  }
  parentPort?.postMessage(missing, []);
});

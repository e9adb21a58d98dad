/**
 * The thread that writes NOTIFY_INVAL_INODE. Such a write waits for pages whose READ or WRITE is still to be
 * answered, and the thread that answers is another one: so the two can never wait for each other.
 *
 * A message is one batch: a Float64Array of pairs (inode, offset; offset < 0: attributes only). The answer is
 * sent when all of it is written: the pairs whose inode the kernel does not have, in a row. null ends the thread.
 */
import { writeSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { FUSE_NOTIFY_INVAL_INODE, notifyInvalInodeOut, outHeader } from "./abi.ts";

const descriptor = workerData as number;
const bodyAt = outHeader.sizeof;
const message = Buffer.alloc(outHeader.sizeof + notifyInvalInodeOut.sizeof);

// A notification is a reply to no request (unique 0) with its code in place of the error.
message.writeUInt32LE(message.length, outHeader.len);
message.writeInt32LE(FUSE_NOTIFY_INVAL_INODE, outHeader.error);

/** False when the kernel does not have the inode. */
function invalidate(ino: number, offset: number): boolean {
  message.writeBigUInt64LE(BigInt(ino), bodyAt + notifyInvalInodeOut.ino);
  message.writeBigInt64LE(BigInt(offset), bodyAt + notifyInvalInodeOut.off);
  try {
    writeSync(descriptor, message);
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

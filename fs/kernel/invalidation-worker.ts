/**
 * The thread that writes NOTIFY_INVAL_INODE. Such a write waits for pages whose READ or WRITE is still to be
 * answered, and the thread that answers is another one: so the two can never wait for each other.
 *
 * A message is one batch: a Float64Array of pairs (inode, offset; offset < 0: attributes only). The answer is
 * sent when all of it is written. null ends the thread.
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

function invalidate(ino: number, offset: number): void {
  message.writeBigUInt64LE(BigInt(ino), bodyAt + notifyInvalInodeOut.ino);
  message.writeBigInt64LE(BigInt(offset), bodyAt + notifyInvalInodeOut.off);
  try {
    writeSync(descriptor, message);
  } catch {
    // ENOENT: the kernel has forgotten the inode meanwhile. ENODEV: the mount is gone. Either way
    // nothing is cached any more; any other error would be a malformed message, which tests would show.
  }
}

parentPort?.on("message", (batch: Float64Array | null) => {
  if (batch === null) {
    parentPort?.close();
    return;
  }
  for (let index = 0; index < batch.length; index += 2) {
    invalidate(batch[index] ?? 0, batch[index + 1] ?? -1);
  }
  parentPort?.postMessage(null, []);
});

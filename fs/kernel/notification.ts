/** Notifications, as bytes: one is a reply to no request (unique 0) with its code in place of the error. */
import {
  FUSE_NOTIFY_INVAL_INODE,
  FUSE_NOTIFY_RESEND,
  FUSE_NOTIFY_STORE,
  notifyInvalInodeOut,
  notifyStoreOut,
  outHeader,
} from "./abi.ts";

const bodyAt = outHeader.sizeof;
const message = Buffer.alloc(outHeader.sizeof + notifyInvalInodeOut.sizeof);
message.writeUInt32LE(message.length, outHeader.len);
message.writeInt32LE(FUSE_NOTIFY_INVAL_INODE, outHeader.error);

/** What the kernel caches of an inode is wrong from `offset` on; < 0: its attributes only. Valid until the next call. */
export function inodeChanged(ino: number, offset: number): Buffer {
  message.writeBigUInt64LE(BigInt(ino), bodyAt + notifyInvalInodeOut.ino);
  message.writeBigInt64LE(BigInt(offset), bodyAt + notifyInvalInodeOut.off);
  return message;
}

/** The kernel is to send again what was read and not answered. */
export function sendAgain(): Buffer {
  const bytes = Buffer.alloc(outHeader.sizeof);
  bytes.writeUInt32LE(bytes.length, outHeader.len);
  bytes.writeInt32LE(FUSE_NOTIFY_RESEND, outHeader.error);
  return bytes;
}

export function attributesChanged(ino: number): Buffer {
  return inodeChanged(ino, -1);
}

/** NOTIFY_STORE of the byte at `offset`, which is the file's last one: the kernel takes the file to be at least so long. */
export function lastByte(ino: number, offset: number, byte: number): Buffer {
  const dataAt = bodyAt + notifyStoreOut.sizeof;
  const bytes = Buffer.alloc(dataAt + 1);
  bytes.writeUInt32LE(bytes.length, outHeader.len);
  bytes.writeInt32LE(FUSE_NOTIFY_STORE, outHeader.error);
  bytes.writeBigUInt64LE(BigInt(ino), bodyAt + notifyStoreOut.nodeid);
  bytes.writeBigUInt64LE(BigInt(offset), bodyAt + notifyStoreOut.offset);
  bytes.writeUInt32LE(1, bodyAt + notifyStoreOut.size);
  bytes[dataAt] = byte;
  return bytes;
}

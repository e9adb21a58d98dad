/**
 * Attributes as fuse-native's C code reads them: eighteen uint32, 64-bit values as two, low half first.
 *
 * Its own conversion cannot be used: it turns a link count of 0 into 1. What its C code cuts off stays
 * cut off: inode and device numbers to 32 bits, times to milliseconds that are not before 1970.
 */
import type { Attributes, Time } from "../attributes.ts";
import type { FileSystemStatistics } from "../operations.ts";
import type { NativeStatistics } from "fuse-native";

/** Nothing is cached, so every read of a program is one of ours: large ones are better. */
const PREFERRED_IO_BYTES = 131_072;
const STAT_BLOCK_BYTES = 512;
const UINT32_MAX = 2 ** 32 - 1;

export function statArray(attributes: Attributes): Uint32Array {
  const { mode, uid, gid, size, nlink, ino, rdev } = attributes;
  const ints = new Uint32Array(18);
  ints[0] = mode;
  ints[1] = uid;
  ints[2] = gid;
  put64(ints, 3, size);
  ints[6] = nlink;
  ints[7] = ino;
  ints[8] = rdev;
  ints[9] = PREFERRED_IO_BYTES;
  put64(ints, 10, Math.ceil(size / STAT_BLOCK_BYTES));
  put64(ints, 12, milliseconds(attributes.atime));
  put64(ints, 14, milliseconds(attributes.mtime));
  put64(ints, 16, milliseconds(attributes.ctime));
  return ints;
}

function put64(ints: Uint32Array, index: number, value: number): void {
  ints[index] = value % 2 ** 32;
  ints[index + 1] = Math.floor(value / 2 ** 32);
}

export function milliseconds({ sec, nsec }: Time): number {
  return Math.max(0, sec * 1_000 + Math.floor(nsec / 1_000_000));
}

export function timeOf(ms: number): Time {
  const sec = Math.floor(ms / 1_000);
  return { sec, nsec: Math.round(ms - sec * 1_000) * 1_000_000 };
}

/** Counts must fit 32 bits, so a large disk is told in larger blocks. */
export function statistics(of: FileSystemStatistics): NativeStatistics {
  let blockSize = of.blockSize;
  let scale = 1;
  while (of.blocks / scale > UINT32_MAX) {
    scale *= 2;
    blockSize *= 2;
  }
  const filesFree = Math.min(of.filesFree, UINT32_MAX);
  return {
    bsize: blockSize,
    frsize: blockSize,
    blocks: Math.floor(of.blocks / scale),
    bfree: Math.floor(of.blocksFree / scale),
    bavail: Math.floor(of.blocksAvailable / scale),
    files: Math.min(of.files, UINT32_MAX),
    ffree: filesFree,
    favail: filesFree,
    namemax: of.nameLengthMax,
  };
}

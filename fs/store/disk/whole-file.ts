/** Small files that are read and written as a whole. */
import type { Disk } from "./disk.ts";

/** The bytes of a file, at most `lengthMax` of them. */
export function readWholeFile(disk: Disk, path: string, lengthMax: number): Buffer {
  const fd = disk.open(path, "r");
  try {
    const bytes = Buffer.alloc(lengthMax);
    let length = 0;
    while (length < lengthMax) {
      const count = disk.read(fd, bytes, length, lengthMax - length, length);
      if (count === 0) break;
      length += count;
    }
    return bytes.subarray(0, length);
  } finally {
    disk.close(fd);
  }
}

/** The bytes are on stable storage when it returns; the name is not before its directory is synced. */
export function writeWholeFile(disk: Disk, path: string, bytes: Buffer): void {
  const fd = disk.open(path, "w");
  try {
    for (let at = 0; at < bytes.length;) at += disk.write(fd, bytes.subarray(at), at);
    disk.fsync(fd);
  } finally {
    disk.close(fd);
  }
}

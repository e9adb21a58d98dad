/** The disk that the operating system offers. */
import { tryLock } from "fs-native-extensions";
import * as fs from "node:fs";
import type { Disk } from "./disk.ts";

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

export const systemDisk: Disk = {
  open: (path, flags) => fs.openSync(path, flags, FILE_MODE),
  close: (fd) => fs.closeSync(fd),
  read: (fd, target, start, length, position) => fs.readSync(fd, target, start, length, position),
  write: (fd, bytes, position) => fs.writeSync(fd, bytes, 0, bytes.length, position),
  writev: (fd, buffers, position) => fs.writevSync(fd, buffers, position),
  truncate: (fd, length) => fs.ftruncateSync(fd, length),
  fdatasync: (fd) => fs.fdatasyncSync(fd),
  fdatasyncLater: (fd, done) => fs.fdatasync(fd, done),
  fsync: (fd) => fs.fsyncSync(fd),
  syncDirectory(path) {
    const fd = fs.openSync(path, "r");
    try {
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  },
  rename: (from, to) => fs.renameSync(from, to),
  unlink: (path) => fs.unlinkSync(path),
  unlinkLater: (path, done) => fs.unlink(path, done),
  list: (path) => fs.readdirSync(path),
  exists: (path) => fs.existsSync(path),
  length: (path) => fs.statSync(path).size,
  makeDirectory(path) {
    fs.mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE });
  },
  space(path) {
    const { bsize, blocks, bfree, bavail } = fs.statfsSync(path);
    return { blockSize: bsize, blocks, free: bfree, available: bavail };
  },
  lock(path) {
    // Not "a+": Linux appends what is written to such a descriptor, whatever the position.
    const fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, FILE_MODE);
    if (tryLock(fd)) return fd;
    fs.closeSync(fd);
    return undefined;
  },
};

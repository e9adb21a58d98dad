/** The disk that the operating system offers. */
import * as fs from "node:fs";
import { tryLock } from "fs-native-extensions";
import type { Disk, OpenFlags } from "./disk.ts";

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = fs.constants;

/**
 * A store has no symbolic links as files. Root may look at a store that is another user's, and must not write to what a
 * link in it leads to.
 */
const OPEN_FLAGS: Readonly<Record<OpenFlags, number>> = {
  r: O_RDONLY | O_NOFOLLOW,
  "r+": O_RDWR | O_NOFOLLOW,
  "wx+": O_RDWR | O_CREAT | O_EXCL,
  w: O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW,
};

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

export const systemDisk: Disk = {
  open: (path, flags) => fs.openSync(path, OPEN_FLAGS[flags], FILE_MODE),
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
  linkOwner(path) {
    const found = fs.lstatSync(path, { throwIfNoEntry: false });
    return found?.isSymbolicLink() === true ? found.uid : undefined;
  },
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
    const fd = fs.openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW, FILE_MODE);
    if (tryLock(fd)) return fd;
    fs.closeSync(fd);
    return undefined;
  },
};

/**
 * The numbers of the FUSE protocol as <linux/fuse.h> gives them: opcodes, flags and where each field
 * stands in its structure (byte offsets; everything is little-endian here). A compiled C program
 * compares all of it with the header (test/native/fuse-layout.c).
 *
 * Not here: what a request means (fs/kernel/requests/), and which opcodes are served (opcodes.ts).
 */

export const protocolMajor = 7;
/** Linux 5.2: MAX_PAGES, EXPLICIT_INVAL_DATA and CACHE_SYMLINKS are all there. */
export const protocolMinorMin = 31;
/** The newest minor whose structures are known here. */
export const protocolMinorMax = 40;

export const rootNode = 1;

export const opcode = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  BMAP: 37,
  DESTROY: 38,
  IOCTL: 39,
  POLL: 40,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SYNCFS: 50,
  TMPFILE: 51,
  /** Since 7.39. */
  STATX: 52,
} as const;

/** Low half of the INIT flags. */
export const initFlag = {
  ASYNC_READ: 1 << 0,
  POSIX_LOCKS: 1 << 1,
  ATOMIC_O_TRUNC: 1 << 3,
  EXPORT_SUPPORT: 1 << 4,
  BIG_WRITES: 1 << 5,
  FLOCK_LOCKS: 1 << 10,
  HAS_IOCTL_DIR: 1 << 11,
  DO_READDIRPLUS: 1 << 13,
  READDIRPLUS_AUTO: 1 << 14,
  ASYNC_DIO: 1 << 15,
  PARALLEL_DIROPS: 1 << 18,
  ABORT_ERROR: 1 << 21,
  MAX_PAGES: 1 << 22,
  CACHE_SYMLINKS: 1 << 23,
  EXPLICIT_INVAL_DATA: 1 << 25,
  HANDLE_KILLPRIV_V2: 1 << 28,
  INIT_EXT: 1 << 30,
} as const;

/** High half of the INIT flags (flags2), valid with INIT_EXT. */
export const initFlag2 = {
  /** Since 7.39. */
  DIRECT_IO_ALLOW_MMAP: 1 << (36 - 32),
  /** Since 7.40. */
  HAS_RESEND: 1 << (39 - 32),
} as const;

export const openFlag = {
  DIRECT_IO: 1 << 0,
  KEEP_CACHE: 1 << 1,
  NONSEEKABLE: 1 << 2,
  STREAM: 1 << 4,
  /** Since 7.35; an older kernel does not look at it. */
  NOFLUSH: 1 << 5,
} as const;

/** Which fields of SETATTR count. */
export const attrFlag = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
  CTIME: 1 << 10,
  KILL_SUIDGID: 1 << 11,
} as const;

export const FUSE_OPEN_KILL_SUIDGID = 1 << 0;
export const FUSE_WRITE_KILL_SUIDGID = 1 << 2;
export const FUSE_LK_FLOCK = 1 << 0;
export const FUSE_NOTIFY_INVAL_INODE = 2;
export const FUSE_NOTIFY_STORE = 4;
/** Since 7.40: every request that was read and not answered is sent again, with this bit in its number. */
export const FUSE_NOTIFY_RESEND = 7;
/** In the upper half of `unique`. */
export const FUSE_UNIQUE_RESEND_HIGH = 0x8000_0000;

export const inHeader = {
  sizeof: 40,
  len: 0,
  opcode: 4,
  unique: 8,
  nodeid: 16,
  uid: 24,
  gid: 28,
  pid: 32,
  /** In units of 8 bytes; before 7.38 padding that is 0. */
  total_extlen: 36,
} as const;

export const outHeader = { sizeof: 16, len: 0, error: 4, unique: 8 } as const;

export const attr = {
  sizeof: 88,
  ino: 0,
  size: 8,
  blocks: 16,
  atime: 24,
  mtime: 32,
  ctime: 40,
  atimensec: 48,
  mtimensec: 52,
  ctimensec: 56,
  mode: 60,
  nlink: 64,
  uid: 68,
  gid: 72,
  rdev: 76,
  blksize: 80,
  flags: 84,
} as const;

export const entryOut = {
  sizeof: 128,
  nodeid: 0,
  generation: 8,
  entry_valid: 16,
  attr_valid: 24,
  entry_valid_nsec: 32,
  attr_valid_nsec: 36,
  attr: 40,
} as const;

export const attrOut = { sizeof: 104, attr_valid: 0, attr_valid_nsec: 8, attr: 16 } as const;
export const openOut = { sizeof: 16, fh: 0, open_flags: 8 } as const;
export const writeOut = { sizeof: 8, size: 0 } as const;
export const lseekOut = { sizeof: 8, offset: 0 } as const;
export const getxattrOut = { sizeof: 8, size: 0 } as const;
export const ioctlOut = { sizeof: 16, result: 0, flags: 4, in_iovs: 8, out_iovs: 12 } as const;
export const fileLock = { sizeof: 24, start: 0, end: 8, type: 16, pid: 20 } as const;

/** `sizeof` is where the name stands; an entry is padded to 8 bytes. */
export const dirent = { sizeof: 24, ino: 0, off: 8, namelen: 16, type: 20 } as const;

export const kstatfs = {
  sizeof: 80,
  blocks: 0,
  bfree: 8,
  bavail: 16,
  files: 24,
  ffree: 32,
  bsize: 40,
  namelen: 44,
  frsize: 48,
} as const;

export const initIn = {
  sizeof: 64,
  major: 0,
  minor: 4,
  max_readahead: 8,
  flags: 12,
  flags2: 16,
} as const;
/** INIT before 7.36 ends behind `flags`. */
export const initInSizeMin = 16;

export const initOut = {
  sizeof: 64,
  major: 0,
  minor: 4,
  max_readahead: 8,
  flags: 12,
  max_background: 16,
  congestion_threshold: 18,
  max_write: 20,
  time_gran: 24,
  max_pages: 28,
  flags2: 32,
} as const;

export const forgetIn = { sizeof: 8, nlookup: 0 } as const;
export const batchForgetIn = { sizeof: 8, count: 0 } as const;
export const forgetOne = { sizeof: 16, nodeid: 0, nlookup: 8 } as const;
export const getattrIn = { sizeof: 16, getattr_flags: 0, fh: 8 } as const;

export const setattrIn = {
  sizeof: 88,
  valid: 0,
  fh: 8,
  size: 16,
  lock_owner: 24,
  atime: 32,
  mtime: 40,
  ctime: 48,
  atimensec: 56,
  mtimensec: 60,
  ctimensec: 64,
  mode: 68,
  uid: 76,
  gid: 80,
} as const;

export const mknodIn = { sizeof: 16, mode: 0, rdev: 4, umask: 8 } as const;
export const mkdirIn = { sizeof: 8, mode: 0, umask: 4 } as const;
export const renameIn = { sizeof: 8, newdir: 0 } as const;
export const rename2In = { sizeof: 16, newdir: 0, flags: 8 } as const;
export const linkIn = { sizeof: 8, oldnodeid: 0 } as const;
export const openIn = { sizeof: 8, flags: 0, open_flags: 4 } as const;
export const createIn = { sizeof: 16, flags: 0, mode: 4, umask: 8, open_flags: 12 } as const;
export const releaseIn = {
  sizeof: 24,
  fh: 0,
  flags: 8,
  release_flags: 12,
  lock_owner: 16,
} as const;
export const flushIn = { sizeof: 24, fh: 0, lock_owner: 16 } as const;
export const readIn = {
  sizeof: 40,
  fh: 0,
  offset: 8,
  size: 16,
  lock_owner: 24,
  flags: 32,
} as const;
export const fsyncIn = { sizeof: 16, fh: 0, fsync_flags: 8 } as const;
export const getxattrIn = { sizeof: 8, size: 0 } as const;
/** SETXATTR without FUSE_SETXATTR_EXT: size and flags only. */
export const setxattrIn = { sizeof: 8, size: 0, flags: 4 } as const;
export const lkIn = { sizeof: 48, fh: 0, owner: 8, lk: 16, lk_flags: 40 } as const;
export const interruptIn = { sizeof: 8, unique: 0 } as const;
export const fallocateIn = { sizeof: 32, fh: 0, offset: 8, length: 16, mode: 24 } as const;
export const lseekIn = { sizeof: 24, fh: 0, offset: 8, whence: 16 } as const;
export const syncfsIn = { sizeof: 8 } as const;

export const writeIn = {
  sizeof: 40,
  fh: 0,
  offset: 8,
  size: 16,
  write_flags: 20,
  lock_owner: 24,
  flags: 32,
} as const;

export const ioctlIn = {
  sizeof: 32,
  fh: 0,
  flags: 8,
  cmd: 12,
  arg: 16,
  in_size: 24,
  out_size: 28,
} as const;

export const copyFileRangeIn = {
  sizeof: 56,
  fh_in: 0,
  off_in: 8,
  nodeid_out: 16,
  fh_out: 24,
  off_out: 32,
  len: 40,
  flags: 48,
} as const;

export const notifyInvalInodeOut = { sizeof: 24, ino: 0, off: 8, len: 16 } as const;
export const notifyStoreOut = { sizeof: 24, nodeid: 0, offset: 8, size: 16 } as const;

/** The C names, for the comparison with the header. */
export const layouts: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  fuse_in_header: inHeader,
  fuse_out_header: outHeader,
  fuse_attr: attr,
  fuse_entry_out: entryOut,
  fuse_attr_out: attrOut,
  fuse_open_out: openOut,
  fuse_write_out: writeOut,
  fuse_lseek_out: lseekOut,
  fuse_getxattr_out: getxattrOut,
  fuse_ioctl_out: ioctlOut,
  fuse_file_lock: fileLock,
  fuse_dirent: dirent,
  fuse_kstatfs: kstatfs,
  fuse_init_in: initIn,
  fuse_init_out: initOut,
  fuse_forget_in: forgetIn,
  fuse_batch_forget_in: batchForgetIn,
  fuse_forget_one: forgetOne,
  fuse_getattr_in: getattrIn,
  fuse_setattr_in: setattrIn,
  fuse_mknod_in: mknodIn,
  fuse_mkdir_in: mkdirIn,
  fuse_rename_in: renameIn,
  fuse_rename2_in: rename2In,
  fuse_link_in: linkIn,
  fuse_open_in: openIn,
  fuse_create_in: createIn,
  fuse_release_in: releaseIn,
  fuse_flush_in: flushIn,
  fuse_read_in: readIn,
  fuse_write_in: writeIn,
  fuse_fsync_in: fsyncIn,
  fuse_getxattr_in: getxattrIn,
  fuse_setxattr_in: setxattrIn,
  fuse_lk_in: lkIn,
  fuse_interrupt_in: interruptIn,
  fuse_ioctl_in: ioctlIn,
  fuse_fallocate_in: fallocateIn,
  fuse_lseek_in: lseekIn,
  fuse_copy_file_range_in: copyFileRangeIn,
  fuse_syncfs_in: syncfsIn,
  fuse_notify_inval_inode_out: notifyInvalInodeOut,
  fuse_notify_store_out: notifyStoreOut,
};

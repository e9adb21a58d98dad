/** What stat(2) tells of a file, and what setattr may change. */

/** Seconds since 1970 (may be negative) and nanoseconds 0..999,999,999. */
export interface Time {
  readonly sec: number;
  readonly nsec: number;
}

export interface Attributes {
  readonly ino: number;
  /** Type and permission bits, as st_mode. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  /** Bytes. st_blocks is made from it: it tells the logical size. */
  readonly size: number;
  readonly atime: Time;
  readonly mtime: Time;
  readonly ctime: Time;
}

/** Only the named fields change; "now" is the file system's clock. */
export interface AttributeChange {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number;
  readonly atime?: Time | "now";
  readonly mtime?: Time | "now";
  readonly ctime?: Time | "now";
}

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_ISVTX = 0o1000;

export function isDirectory(mode: number): boolean {
  return (mode & S_IFMT) === S_IFDIR;
}

export function isRegular(mode: number): boolean {
  return (mode & S_IFMT) === S_IFREG;
}

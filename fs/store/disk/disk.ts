/**
 * What the store asks of the disk under its log: the only way by which it gets there (the index has a way
 * of its own, store-index.ts). The real one is system-disk.ts; tests put a simulated one in its place.
 *
 * Paths are absolute. Calls fail with an error that has a `code`, as those of node:fs do. What the store relies on:
 * - bytes of a file, and its length, are on stable storage after a sync of the file;
 * - a name that was made, changed or removed is there after a sync of its directory;
 * - everything else may be lost in a power cut, in any part and in any order.
 */

/** As fopen's: read; read and write; make, read and write (it must not exist); make or empty, and write. */
export type OpenFlags = "r" | "r+" | "wx+" | "w";

export interface Disk {
  /** A descriptor. A file that is made has mode 0600. */
  open(path: string, flags: OpenFlags): number;
  close(fd: number): void;
  /** Bytes from `position` into `target` at `start`; how many there were, 0 at the end. */
  read(fd: number, target: Buffer, start: number, length: number, position: number): number;
  /** How many bytes were written: perhaps not all of them. */
  write(fd: number, bytes: Buffer, position: number): number;
  /** The same with at most 1,024 buffers. */
  writev(fd: number, buffers: readonly Buffer[], position: number): number;
  truncate(fd: number, length: number): void;
  /** Bytes and length are on stable storage when it returns; times need not be. */
  fdatasync(fd: number): void;
  /** The same in a thread of its own; the descriptor must stay open until `done` is called. */
  fdatasyncLater(fd: number, done: (error: Error | null) => void): void;
  fsync(fd: number): void;
  /** The names in a directory are on stable storage when it returns. */
  syncDirectory(path: string): void;
  rename(from: string, to: string): void;
  unlink(path: string): void;
  /** The same in a thread of its own: to free the blocks of a long file takes a while. */
  unlinkLater(path: string, done: (error: Error | null) => void): void;
  /** The names in a directory. */
  list(path: string): string[];
  exists(path: string): boolean;
  /** The user who owns the symbolic link that a path is; undefined: it is none, or nothing. */
  linkOwner(path: string): number | undefined;
  /** Length of a file. */
  length(path: string): number;
  /** Makes a directory (mode 0700) and what is missing above it; one that is there already is fine. */
  makeDirectory(path: string): void;
  space(path: string): Space;
  /**
   * A descriptor of a file (made if need be) with a lock on it that ends with the descriptor or the process;
   * undefined when another process has the lock.
   */
  lock(path: string): number | undefined;
}

/** Blocks in all, free, and free for this process. */
export interface Space {
  readonly blockSize: number;
  readonly blocks: number;
  readonly free: number;
  readonly available: number;
}

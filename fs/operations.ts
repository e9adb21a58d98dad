/**
 * The operations of the mounted file system, on inodes, as the bindings call them.
 *
 * - A result is the value or a negative errno (base/errno.ts). A promise is returned only where an
 *   operation waits (stable storage, a lock, a directory that is read from disk).
 * - A storage failure is thrown as StoreError (fs/store/errors.ts); bindings answer with its errno.
 * - Names are byte strings: one UTF-16 unit for each byte (latin1), so that any name survives.
 * - The kernel has checked permissions (default_permissions) unless a comment says otherwise.
 * - `ino` 1 is the root. Inode numbers are never used twice, so the generation is always 0.
 */
import type { Errno } from "../base/errno.ts";
import type { AttributeChange, Attributes } from "./attributes.ts";
import type { Caller } from "./caller.ts";
import type { LockRange, LockRequest } from "./locks/table.ts";

export interface OpenFile {
  /** Names this open in read, write, flush, release, locks and ioctl; never 0. */
  readonly handle: number;
  /** The kernel must not cache this file's bytes for this open (O_APPEND, control file). */
  readonly directIo: boolean;
  /** No offsets (the control file). */
  readonly stream: boolean;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly ino: number;
  /** The S_IFMT bits of the entry's mode. */
  readonly type: number;
  /** Passed back to continue behind this entry; > 0, ascending, stable as long as the name exists. */
  readonly cookie: number;
}

export interface FileSystemStatistics {
  readonly blockSize: number;
  readonly blocks: number;
  readonly blocksFree: number;
  readonly blocksAvailable: number;
  readonly files: number;
  readonly filesFree: number;
  readonly nameLengthMax: number;
}

export interface WriteRequest {
  readonly ino: number;
  readonly handle: number;
  readonly offset: number;
  /** Valid only until the call returns: what is kept must be copied. */
  readonly data: Buffer;
  /** The open flags as they are now (fcntl F_SETFL included): O_APPEND, O_SYNC and O_DSYNC count. */
  readonly flags: number;
}

/** Where the bytes went: with O_APPEND that can be another offset than the one asked for. */
export interface Written {
  readonly offset: number;
  readonly length: number;
}

export interface IoctlReply {
  readonly result: number;
  readonly data: Buffer;
}

type Soon<T> = T | Promise<T>;

export interface Operations {
  lookup(parent: number, name: string, caller: Caller): Attributes | Errno;
  getAttributes(ino: number): Attributes | Errno;
  /** Of a regular file that is not empty; undefined when it cannot be read. */
  lastByte(ino: number): { readonly offset: number; readonly byte: number } | undefined;
  setAttributes(ino: number, change: AttributeChange, caller: Caller): Attributes | Errno;
  readLink(ino: number): Buffer | Errno;
  symlink(parent: number, name: string, target: Buffer, caller: Caller): Attributes | Errno;
  makeNode(
    parent: number,
    name: string,
    mode: number,
    rdev: number,
    caller: Caller,
  ): Attributes | Errno;
  makeDirectory(parent: number, name: string, mode: number, caller: Caller): Attributes | Errno;
  create(
    parent: number,
    name: string,
    mode: number,
    flags: number,
    caller: Caller,
  ): { attributes: Attributes; open: OpenFile } | Errno;
  /** O_TMPFILE: an inode without a name, which link may name later. */
  createUnnamed(
    parent: number,
    mode: number,
    flags: number,
    caller: Caller,
  ): { attributes: Attributes; open: OpenFile } | Errno;
  unlink(parent: number, name: string, caller: Caller): 0 | Errno;
  removeDirectory(parent: number, name: string, caller: Caller): 0 | Errno;
  /** flags: RENAME_NOREPLACE 1, RENAME_EXCHANGE 2; anything else is EINVAL. */
  rename(
    parent: number,
    name: string,
    newParent: number,
    newName: string,
    flags: number,
    caller: Caller,
  ): 0 | Errno;
  link(ino: number, newParent: number, newName: string, caller: Caller): Attributes | Errno;

  open(ino: number, flags: number, caller: Caller): OpenFile | Errno;
  /** An open file of an earlier process, which its number tells all about. Only where a mount is taken over. */
  openFile?(ino: number, handle: number): OpenFile;
  /**
   * Buffers in order; fewer bytes than asked for only at the end of the file. What is not a promise is valid
   * until the next operation only.
   */
  read(
    ino: number,
    handle: number,
    offset: number,
    length: number,
    caller: Caller,
  ): Soon<readonly Buffer[] | Errno>;
  write(request: WriteRequest, caller: Caller): Soon<Written | Errno>;
  /** close(2) of one descriptor: drops the owner's POSIX locks. */
  flush(ino: number, handle: number, lockOwner: bigint): 0 | Errno;
  /** The last close of an open file: drops the locks set through it (flock, OFD). */
  release(ino: number, handle: number): void;
  sync(ino: number): Promise<0 | Errno>;
  allocate(ino: number, mode: number, offset: number, length: number): 0 | Errno;
  /** SEEK_DATA 3 and SEEK_HOLE 4. */
  seek(ino: number, offset: number, whence: number): number | Errno;
  copyRange(
    source: { ino: number; offset: number },
    target: { ino: number; offset: number },
    length: number,
  ): number | Errno;
  ioctl(
    ino: number,
    handle: number,
    command: number,
    input: Buffer,
    outputLengthMax: number,
    caller: Caller,
  ): Soon<IoctlReply | Errno>;

  openDirectory(ino: number): number | Errno;
  /** Entries behind `cookie` (0: from the start), at least one unless at the end; "." and ".." are not among them. */
  readDirectory(
    ino: number,
    handle: number,
    cookie: number,
    countMax: number,
  ): Soon<readonly DirectoryEntry[] | Errno>;
  releaseDirectory(handle: number): void;
  /** The inode number of a directory's parent; the root is its own. */
  parentOf(ino: number): number;

  setXattr(ino: number, name: string, value: Buffer, flags: number): 0 | Errno;
  getXattr(ino: number, name: string): Buffer | Errno;
  /** Names. */
  listXattr(ino: number): readonly string[] | Errno;
  removeXattr(ino: number, name: string): 0 | Errno;
  statFileSystem(): FileSystemStatistics;

  /** The first lock in the way of this one, or undefined. */
  getLock(ino: number, lock: LockRequest): LockRange | undefined | Errno;
  /** Sets or clears a lock; EAGAIN when it conflicts. Waits only until deliveries that it follows can be seen. */
  setLock(ino: number, lock: LockRequest): Soon<0 | Errno>;
  /** Waits for the lock; `signal` ends the wait with EINTR. */
  setLockWait(ino: number, lock: LockRequest, signal: AbortSignal): Soon<0 | Errno>;

  /** The kernel no longer knows this inode. It does so exactly once for each time it came to know it. */
  forget(ino: number): void;
}

/** What the file system asks of the binding that carries it. */
export interface Invalidator {
  /**
   * Drops what the kernel caches of an inode: attributes always, and the bytes from `offset` on (< 0: none).
   * Resolves when a following fstat or read of any program sees the present state; undefined when the
   * kernel caches nothing of this inode. Bytes that go are bytes that a hint has changed: programs that watch the
   * file are told.
   */
  invalidate(ino: number, offset: number): Promise<void> | undefined;
}

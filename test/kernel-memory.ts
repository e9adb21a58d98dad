/**
 * A small file system in memory, enough to drive the kernel binding. It counts calls and checks what a
 * binding promises: names and handles are given back once, and only what was given out.
 */
import { assert } from "../base/assert.ts";
import {
  EBADF,
  EEXIST,
  EFBIG,
  ENODATA,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  ENOTTY,
  ENXIO,
  isErrno,
} from "../base/errno.ts";
import type { Errno } from "../base/errno.ts";
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../fs/attributes.ts";
import type { AttributeChange, Attributes, Time } from "../fs/attributes.ts";
import type { Caller } from "../fs/caller.ts";
import { LockTable } from "../fs/locks/table.ts";
import type { LockRange, LockRequest } from "../fs/locks/table.ts";
import type {
  DirectoryEntry,
  FileSystemStatistics,
  IoctlReply,
  OpenFile,
  Operations,
  WriteRequest,
  Written,
} from "../fs/operations.ts";

/** Bytes: enough for the tests, and a random offset does not ask for memory that is not there. */
const fileLengthMax = 256 * 1024 * 1024;
const O_TRUNC = 0o1000;
const O_APPEND = 0o2000;

interface Node {
  readonly ino: number;
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  rdev: number;
  atime: Time;
  mtime: Time;
  ctime: Time;
  parent: number;
  data: Buffer;
  readonly names: Map<string, { ino: number; cookie: number }>;
  readonly xattrs: Map<string, Buffer>;
}

type Settle = (result: readonly Buffer[] | Errno) => void;

export class MemoryOperations implements Operations {
  readonly nodes = new Map<number, Node>();
  readonly locks = new LockTable({ onUnlocked: () => {} });
  /** Calls by name. */
  readonly calls = new Map<string, number>();
  readonly forgotten: number[] = [];
  readonly openHandles = new Map<number, number>();
  readonly openDirectories = new Set<number>();
  /** Reads of this inode wait until finishReads. */
  slowInode = 0;
  /** What the next call of any operation throws. */
  failure: Error | undefined;
  #slowReads: { settle: Settle; read: () => readonly Buffer[] }[] = [];
  #lastIno = 15;
  #lastHandle = 0;
  #lastCookie = 0;
  #lastTime = 1_700_000_000;

  constructor() {
    this.#insert(1, S_IFDIR | 0o755, { uid: 0, gid: 0, pid: 0 }, 1).nlink = 2;
  }

  node(ino: number): Node {
    const node = this.nodes.get(ino);
    assert(node !== undefined, `inode ${ino} exists`);
    return node;
  }

  /** Makes a file behind the kernel's back. */
  put(name: string, data: Buffer | string): number {
    const ino = this.#name(1, name, S_IFREG | 0o666, { uid: 0, gid: 0, pid: 0 });
    assert(!isErrno(ino), `${name} is new`);
    this.node(ino.ino).data = Buffer.from(data);
    return ino.ino;
  }

  get slowReadCount(): number {
    return this.#slowReads.length;
  }

  finishReads(): void {
    for (const { settle, read } of this.#slowReads.splice(0)) settle(read());
  }

  lookup(parent: number, name: string): Attributes | Errno {
    this.#called("lookup");
    const directory = this.#directory(parent);
    if (isErrno(directory)) return directory;
    const entry = directory.names.get(name);
    return entry === undefined ? ENOENT : this.#attributes(this.node(entry.ino));
  }

  lastByte(ino: number): { offset: number; byte: number } | undefined {
    const data = this.nodes.get(ino)?.data;
    if (data === undefined || data.length === 0) return undefined;
    return { offset: data.length - 1, byte: data.at(-1) as number };
  }

  getAttributes(ino: number): Attributes | Errno {
    this.#called("getAttributes");
    const node = this.nodes.get(ino);
    return node === undefined ? ENOENT : this.#attributes(node);
  }

  setAttributes(ino: number, change: AttributeChange): Attributes | Errno {
    this.#called("setAttributes");
    const node = this.nodes.get(ino);
    if (node === undefined) return ENOENT;
    if ((change.size ?? 0) > fileLengthMax) return EFBIG;
    if (change.mode !== undefined) node.mode = (node.mode & S_IFMT) | (change.mode & 0o7777);
    if (change.uid !== undefined) node.uid = change.uid;
    if (change.gid !== undefined) node.gid = change.gid;
    if (change.size !== undefined) {
      const data = Buffer.alloc(change.size);
      node.data.copy(data);
      node.data = data;
    }
    const now = this.#now();
    if (change.atime !== undefined) node.atime = change.atime === "now" ? now : change.atime;
    if (change.mtime !== undefined) node.mtime = change.mtime === "now" ? now : change.mtime;
    node.ctime = now;
    return this.#attributes(node);
  }

  readLink(ino: number): Buffer | Errno {
    this.#called("readLink");
    return this.nodes.get(ino)?.data ?? ENOENT;
  }

  symlink(parent: number, name: string, target: Buffer, caller: Caller): Attributes | Errno {
    this.#called("symlink");
    const made = this.#name(parent, name, S_IFLNK | 0o777, caller);
    if (!isErrno(made)) made.data = target;
    return isErrno(made) ? made : this.#attributes(made);
  }

  makeNode(
    parent: number,
    name: string,
    mode: number,
    rdev: number,
    caller: Caller,
  ): Attributes | Errno {
    this.#called("makeNode");
    const made = this.#name(parent, name, mode, caller);
    if (!isErrno(made)) made.rdev = rdev;
    return isErrno(made) ? made : this.#attributes(made);
  }

  makeDirectory(parent: number, name: string, mode: number, caller: Caller): Attributes | Errno {
    this.#called("makeDirectory");
    const made = this.#name(parent, name, S_IFDIR | (mode & 0o7777), caller);
    return isErrno(made) ? made : this.#attributes(made);
  }

  create(
    parent: number,
    name: string,
    mode: number,
    flags: number,
    caller: Caller,
  ): { attributes: Attributes; open: OpenFile } | Errno {
    this.#called("create");
    const made = this.#name(parent, name, S_IFREG | (mode & 0o7777), caller);
    if (isErrno(made)) return made;
    return { attributes: this.#attributes(made), open: this.#open(made.ino, flags) };
  }

  createUnnamed(
    parent: number,
    mode: number,
    flags: number,
    caller: Caller,
  ): { attributes: Attributes; open: OpenFile } | Errno {
    this.#called("createUnnamed");
    this.#lastIno += 1;
    const node = this.#insert(this.#lastIno, S_IFREG | (mode & 0o7777), caller, parent);
    node.nlink = 0;
    return { attributes: this.#attributes(node), open: this.#open(node.ino, flags) };
  }

  unlink(parent: number, name: string): 0 | Errno {
    this.#called("unlink");
    return this.#unname(parent, name);
  }

  removeDirectory(parent: number, name: string): 0 | Errno {
    this.#called("removeDirectory");
    return this.#unname(parent, name);
  }

  rename(parent: number, name: string, newParent: number, newName: string): 0 | Errno {
    this.#called("rename");
    const from = this.#directory(parent);
    const to = this.#directory(newParent);
    if (isErrno(from)) return from;
    if (isErrno(to)) return to;
    const entry = from.names.get(name);
    if (entry === undefined) return ENOENT;
    from.names.delete(name);
    to.names.set(newName, { ino: entry.ino, cookie: (this.#lastCookie += 1) });
    return 0;
  }

  link(ino: number, newParent: number, newName: string): Attributes | Errno {
    this.#called("link");
    const node = this.nodes.get(ino);
    const directory = this.#directory(newParent);
    if (node === undefined) return ENOENT;
    if (isErrno(directory)) return directory;
    if (directory.names.has(newName)) return EEXIST;
    directory.names.set(newName, { ino, cookie: (this.#lastCookie += 1) });
    node.nlink += 1;
    return this.#attributes(node);
  }

  open(ino: number, flags: number): OpenFile | Errno {
    this.#called("open");
    const node = this.nodes.get(ino);
    if (node === undefined) return ENOENT;
    if ((flags & O_TRUNC) !== 0) node.data = Buffer.alloc(0);
    return this.#open(ino, flags);
  }

  read(
    ino: number,
    handle: number,
    offset: number,
    length: number,
  ): readonly Buffer[] | Errno | Promise<readonly Buffer[] | Errno> {
    this.#called("read");
    if (this.openHandles.get(handle) !== ino) return EBADF;
    const read = (): readonly Buffer[] => [
      Buffer.from(this.node(ino).data.subarray(offset, offset + length)),
    ];
    if (ino !== this.slowInode) return read();
    return new Promise((settle) => this.#slowReads.push({ settle, read }));
  }

  /** O_APPEND goes to this file system's own end. */
  write({ ino, handle, offset, data, flags }: WriteRequest): Written | Errno {
    this.#called("write");
    const node = this.nodes.get(ino);
    if (node === undefined || this.openHandles.get(handle) !== ino) return EBADF;
    const at = (flags & O_APPEND) === 0 ? offset : node.data.length;
    if (at + data.length > fileLengthMax) return EFBIG;
    if (at + data.length > node.data.length) {
      const grown = Buffer.alloc(at + data.length);
      node.data.copy(grown);
      node.data = grown;
    }
    data.copy(node.data, at);
    node.mtime = node.ctime = this.#now();
    return { offset: at, length: data.length };
  }

  flush(_ino: number, _handle: number, lockOwner: bigint): 0 | Errno {
    this.#called("flush");
    this.locks.releaseOwner(_ino, lockOwner);
    return 0;
  }

  release(ino: number, handle: number): void {
    this.#called("release");
    assert(this.openHandles.get(handle) === ino, "an open file is released once");
    this.openHandles.delete(handle);
    this.locks.releaseHandle(ino, handle);
  }

  sync(): Promise<0 | Errno> {
    this.#called("sync");
    return Promise.resolve(0);
  }

  allocate(ino: number, _mode: number, offset: number, length: number): 0 | Errno {
    this.#called("allocate");
    const node = this.nodes.get(ino);
    if (node === undefined) return ENOENT;
    if (offset + length <= node.data.length) return 0;
    const result = this.setAttributes(ino, { size: offset + length });
    return isErrno(result) ? result : 0;
  }

  seek(ino: number, offset: number, whence: number): number | Errno {
    this.#called("seek");
    const { length } = this.nodes.get(ino)?.data ?? [];
    if (offset >= length) return ENXIO;
    return whence === 3 ? offset : length;
  }

  copyRange(
    source: { ino: number; offset: number },
    target: { ino: number; offset: number },
    length: number,
  ): number | Errno {
    this.#called("copyRange");
    const from = this.nodes.get(source.ino);
    const node = this.nodes.get(target.ino);
    if (from === undefined || node === undefined) return ENOENT;
    const data = from.data.subarray(source.offset, source.offset + length);
    if (target.offset + data.length > fileLengthMax) return EFBIG;
    const grown = Buffer.alloc(Math.max(node.data.length, target.offset + data.length));
    node.data.copy(grown);
    data.copy(grown, target.offset);
    node.data = grown;
    return data.length;
  }

  /** Command 0x4f01 (any direction) gives the input back, reversed. */
  ioctl(
    _ino: number,
    _handle: number,
    command: number,
    input: Buffer,
    outputLengthMax: number,
  ): IoctlReply | Errno {
    this.#called("ioctl");
    if ((command & 0xffff) !== 0x4f01) return ENOTTY;
    return { result: 7, data: Buffer.from(input.toReversed()).subarray(0, outputLengthMax) };
  }

  openDirectory(ino: number): number | Errno {
    this.#called("openDirectory");
    const directory = this.#directory(ino);
    if (isErrno(directory)) return directory;
    this.#lastHandle += 1;
    this.openDirectories.add(this.#lastHandle);
    return this.#lastHandle;
  }

  readDirectory(
    ino: number,
    handle: number,
    cookie: number,
    countMax: number,
  ): readonly DirectoryEntry[] | Errno | Promise<readonly DirectoryEntry[] | Errno> {
    this.#called("readDirectory");
    const directory = this.#directory(ino);
    if (isErrno(directory)) return directory;
    if (!this.openDirectories.has(handle)) return EBADF;
    const entries = [...directory.names]
      .filter(([, entry]) => entry.cookie > cookie)
      .slice(0, countMax)
      .map(([name, entry]) => ({
        name,
        ino: entry.ino,
        type: this.node(entry.ino).mode & S_IFMT,
        cookie: entry.cookie,
      }));
    return Promise.resolve(entries);
  }

  releaseDirectory(handle: number): void {
    this.#called("releaseDirectory");
    assert(this.openDirectories.delete(handle), "an open directory is released once");
  }

  parentOf(ino: number): number {
    return this.nodes.get(ino)?.parent ?? 1;
  }

  setXattr(ino: number, name: string, value: Buffer): 0 | Errno {
    this.#called("setXattr");
    return this.nodes.get(ino)?.xattrs.set(name, value) === undefined ? ENOENT : 0;
  }

  getXattr(ino: number, name: string): Buffer | Errno {
    this.#called("getXattr");
    return this.nodes.get(ino)?.xattrs.get(name) ?? ENODATA;
  }

  listXattr(ino: number): readonly string[] | Errno {
    this.#called("listXattr");
    return [...(this.nodes.get(ino)?.xattrs.keys() ?? [])];
  }

  removeXattr(ino: number, name: string): 0 | Errno {
    this.#called("removeXattr");
    return this.nodes.get(ino)?.xattrs.delete(name) === true ? 0 : ENODATA;
  }

  statFileSystem(): FileSystemStatistics {
    return {
      blockSize: 4096,
      blocks: 1000,
      blocksFree: 600,
      blocksAvailable: 500,
      files: 100,
      filesFree: 40,
      nameLengthMax: 255,
    };
  }

  getLock(ino: number, lock: LockRequest): LockRange | undefined | Errno {
    this.#called("getLock");
    return this.locks.getLock(ino, lock);
  }

  setLock(ino: number, lock: LockRequest): 0 | Errno {
    this.#called("setLock");
    return this.locks.setLock(ino, lock);
  }

  setLockWait(ino: number, lock: LockRequest, signal: AbortSignal): 0 | Errno | Promise<0 | Errno> {
    this.#called("setLockWait");
    return this.locks.setLockWait(ino, lock, signal);
  }

  forget(ino: number): void {
    this.#called("forget");
    this.forgotten.push(ino);
  }

  #called(name: string): void {
    this.calls.set(name, (this.calls.get(name) ?? 0) + 1);
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
  }

  #now(): Time {
    this.#lastTime += 1;
    return { sec: this.#lastTime, nsec: 123_456_789 };
  }

  #directory(ino: number): Node | Errno {
    const node = this.nodes.get(ino);
    if (node === undefined) return ENOENT;
    return (node.mode & S_IFMT) === S_IFDIR ? node : ENOTDIR;
  }

  #open(ino: number, flags: number): OpenFile {
    this.#lastHandle += 1;
    this.openHandles.set(this.#lastHandle, ino);
    return { handle: this.#lastHandle, directIo: (flags & O_APPEND) !== 0, stream: false };
  }

  #name(parent: number, name: string, mode: number, caller: Caller): Node | Errno {
    const directory = this.#directory(parent);
    if (isErrno(directory)) return directory;
    if (directory.names.has(name)) return EEXIST;
    this.#lastIno += 1;
    this.#lastCookie += 1;
    directory.names.set(name, { ino: this.#lastIno, cookie: this.#lastCookie });
    return this.#insert(this.#lastIno, mode, caller, parent);
  }

  #unname(parent: number, name: string): 0 | Errno {
    const directory = this.#directory(parent);
    if (isErrno(directory)) return directory;
    const entry = directory.names.get(name);
    if (entry === undefined) return ENOENT;
    const node = this.node(entry.ino);
    if (node.names.size > 0) return ENOTEMPTY;
    directory.names.delete(name);
    node.nlink -= 1;
    return 0;
  }

  #insert(ino: number, mode: number, caller: Caller, parent: number): Node {
    const now = this.#now();
    const node: Node = {
      ino,
      mode,
      uid: caller.uid,
      gid: caller.gid,
      nlink: 1,
      rdev: 0,
      // As of a file that has been read since: opening it needs no invalidation (requests/access-time.ts).
      atime: { sec: now.sec + 3600, nsec: now.nsec },
      mtime: now,
      ctime: now,
      parent,
      data: Buffer.alloc(0),
      names: new Map(),
      xattrs: new Map(),
    };
    this.nodes.set(ino, node);
    return node;
  }

  #attributes(node: Node): Attributes {
    const { ino, mode, nlink, uid, gid, rdev, atime, mtime, ctime } = node;
    return { ino, mode, nlink, uid, gid, rdev, size: node.data.length, atime, mtime, ctime };
  }
}

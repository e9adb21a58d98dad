/**
 * The operations of the mounted file system over the store.
 *
 * This class only joins the parts: what an operation does is in the file named after it. The control
 * file is not in the store, so it is met here first.
 */
import type { Errno } from "../../base/errno.ts";
import {
  EEXIST,
  EINVAL,
  ELOOP,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  ESPIPE,
  ESTALE,
} from "../../base/errno.ts";
import type { AttributeChange, Attributes, Time } from "../attributes.ts";
import { isRegular, S_IFLNK, S_IFMT } from "../attributes.ts";
import type { Caller } from "../caller.ts";
import type { LockRange, LockRequest, LockTable } from "../locks/table.ts";
import type {
  DirectoryEntry,
  FileSystemStatistics,
  IoctlReply,
  OpenFile,
  Operations,
  WriteRequest,
  Written,
} from "../operations.ts";
import type { Store } from "../store/store.ts";
import type { TakeoverJournal } from "../takeover/journal.ts";
import { setAttributes } from "./attributes.ts";
import type { FilesContext } from "./context.ts";
import { CONTROL_INO, controlAttributes, isControlName } from "./control.ts";
import { createUnnamed, link, makeDirectory, makeNode, symlink } from "./create.ts";
import { Directories } from "./directories.ts";
import type { HandleOptions } from "./handles.ts";
import { canWrite, Handles, traitsOf } from "./handles.ts";
import { attributesAt, directoryAt } from "./inodes.ts";
import { NAME_LENGTH_MAX } from "./limits.ts";
import { lookup } from "./names.ts";
import { O_EXCL, O_TRUNC } from "./open-flags.ts";
import { Offcuts } from "./offcuts.ts";
import { Orphans } from "./orphans.ts";
import { Overwrites } from "./overwrites.ts";
import { allocate, copyRange } from "./ranges.ts";
import { lastByte, read, readLink, seek, touch } from "./read.ts";
import { removeDirectory, unlink } from "./remove.ts";
import { rename } from "./rename.ts";
import type { SessionSource } from "./sessions.ts";
import { Sessions } from "./sessions.ts";
import { write } from "./write.ts";
import { getXattr, listXattr, removeXattr, setXattr } from "./xattrs.ts";

export interface FilesOptions extends HandleOptions {
  readonly store: Store;
  readonly locks: LockTable;
  readonly hints: SessionSource;
  readonly now: () => Time;
  /** A name now means another file or none, or is a dotlock that came or went. */
  readonly nameChanged: (parent: number, name: string) => void;
  /** Whether deliveries wait for names in a directory. */
  readonly hasPendingIn: (directory: number) => boolean;
  /** Resolves when the kernel knows of all deliveries to an inode; undefined when it does now. */
  readonly settled: (ino: number) => Promise<void> | undefined;
  /** Whether the kernel may still come back to an inode that has no name. */
  readonly isKnown: (ino: number) => boolean;
  /** Where a successor of this process will find what the kernel relies on. */
  readonly journal?: TakeoverJournal | undefined;
}

/** What the number of an open file tells the binding, whichever process gave it. */
function openFileOf(ino: number, handle: number): OpenFile {
  if (ino === CONTROL_INO) return { handle, directIo: true, stream: true };
  // The kernel caches appended bytes at its own idea of the end, so it must not cache them at all.
  return { handle, directIo: traitsOf(handle).appends, stream: false };
}

export class Files implements Operations {
  readonly orphans: Orphans;
  readonly offcuts: Offcuts;
  readonly sessions: Sessions;
  readonly #store: Store;
  readonly #locks: LockTable;
  readonly #context: FilesContext;
  readonly #handles: Handles;
  readonly #directories: Directories;
  readonly #settled: (ino: number) => Promise<void> | undefined;
  readonly #control: Attributes;

  constructor(options: FilesOptions) {
    const { store, locks, hints, now, nameChanged, hasPendingIn, settled, isKnown } = options;
    this.#store = store;
    this.#locks = locks;
    this.#handles = new Handles(options);
    this.#directories = new Directories(store);
    this.sessions = new Sessions(
      hints,
      options.journal?.sessions,
      () => options.journal?.unique ?? 0,
    );
    this.#settled = settled;
    this.#control = controlAttributes(now());
    this.orphans = new Orphans({ store, isOpen: (ino) => this.#handles.isOpen(ino), isKnown });
    const { orphans } = this;
    this.offcuts = new Offcuts(store, orphans);
    const { offcuts } = this;
    const overwrites = new Overwrites(store);
    this.#context = { store, now, orphans, overwrites, offcuts, nameChanged, hasPendingIn };
  }

  /** Ends what the mount left open, inodes without names too. */
  async close(): Promise<void> {
    this.sessions.closeAll();
    await this.#directories.closeAll();
    this.offcuts.endAll();
    this.orphans.forgetAll();
    await this.orphans.idle();
  }

  lookup(parent: number, name: string): Attributes | Errno {
    return isControlName(parent, name) ? this.#control : lookup(this.#store, parent, name);
  }

  lastByte(ino: number): { readonly offset: number; readonly byte: number } | undefined {
    return lastByte(this.#context, ino);
  }

  getAttributes(ino: number): Attributes | Errno {
    return ino === CONTROL_INO ? this.#control : attributesAt(this.#store, ino);
  }

  setAttributes(ino: number, change: AttributeChange): Attributes | Errno {
    if (ino !== CONTROL_INO) return setAttributes(this.#context, ino, change);
    // A shell's `>` truncates what it opens, and touch(1) sets times: neither means anything here.
    const { mode, uid, gid } = change;
    return mode === undefined && uid === undefined && gid === undefined ? this.#control : EPERM;
  }

  readLink(ino: number): Buffer | Errno {
    return ino === CONTROL_INO ? EINVAL : readLink(this.#context, ino);
  }

  symlink(parent: number, name: string, target: Buffer, caller: Caller): Attributes | Errno {
    return symlink(this.#context, parent, name, target, caller);
  }

  makeNode(
    parent: number,
    name: string,
    mode: number,
    rdev: number,
    caller: Caller,
  ): Attributes | Errno {
    return makeNode(this.#context, parent, name, mode, rdev, caller);
  }

  makeDirectory(parent: number, name: string, mode: number, caller: Caller): Attributes | Errno {
    return makeDirectory(this.#context, parent, name, mode, caller);
  }

  create(
    parent: number,
    name: string,
    mode: number,
    flags: number,
    caller: Caller,
  ): { attributes: Attributes; open: OpenFile } | Errno {
    const attributes = makeNode(this.#context, parent, name, mode & 0o7777, 0, caller);
    if (attributes === EEXIST && (flags & O_EXCL) === 0 && !isControlName(parent, name)) {
      // The kernel believed that there is no such name: a delivery has made it since. ESTALE makes it look
      // the name up again, check the caller's rights on the file, and then open it.
      return ESTALE;
    }
    if (typeof attributes === "number") return attributes;
    return { attributes, open: this.#opened(attributes.ino, flags) };
  }

  createUnnamed(
    parent: number,
    mode: number,
    flags: number,
    caller: Caller,
  ): { attributes: Attributes; open: OpenFile } | Errno {
    const attributes = createUnnamed(this.#context, parent, mode, caller);
    if (typeof attributes === "number") return attributes;
    return { attributes, open: this.#opened(attributes.ino, flags) };
  }

  unlink(parent: number, name: string): 0 | Errno {
    return unlink(this.#context, parent, name);
  }

  removeDirectory(parent: number, name: string): 0 | Errno {
    return removeDirectory(this.#context, parent, name);
  }

  rename(
    parent: number,
    name: string,
    newParent: number,
    newName: string,
    flags: number,
  ): 0 | Errno {
    return rename(this.#context, parent, name, newParent, newName, flags);
  }

  link(ino: number, newParent: number, newName: string): Attributes | Errno {
    if (ino === CONTROL_INO) return EPERM;
    return link(this.#context, ino, newParent, newName);
  }

  open(ino: number, flags: number, caller: Caller): OpenFile | Errno {
    if (ino === CONTROL_INO) {
      const handle = this.#handles.open(ino, flags);
      this.sessions.open(handle, caller);
      return openFileOf(ino, handle);
    }
    const inode = this.#store.inode(ino);
    if (inode === undefined) return ESTALE;
    if (!isRegular(inode.mode)) return (inode.mode & S_IFMT) === S_IFLNK ? ELOOP : ENXIO;
    // The kernel leaves O_TRUNC to us (FUSE_ATOMIC_O_TRUNC).
    if ((flags & O_TRUNC) !== 0) {
      const truncated = setAttributes(this.#context, ino, { size: 0 });
      if (typeof truncated === "number") return truncated;
    }
    return this.#opened(ino, flags);
  }

  openFile(ino: number, handle: number): OpenFile {
    return openFileOf(ino, handle);
  }

  read(
    ino: number,
    handle: number,
    offset: number,
    length: number,
    caller: Caller,
  ): readonly Buffer[] | Errno | Promise<readonly Buffer[] | Errno> {
    if (ino === CONTROL_INO) return this.sessions.read(handle, length, caller);
    return read(this.#context, ino, offset, length, traitsOf(handle).keepsAtime);
  }

  write(request: WriteRequest, caller: Caller): Written | Errno | Promise<Written | Errno> {
    if (request.ino === CONTROL_INO) return this.sessions.write(request, caller);
    return write(this.#context, request);
  }

  flush(ino: number, _handle: number, lockOwner: bigint): 0 | Errno {
    this.#locks.releaseOwner(ino, lockOwner);
    return 0;
  }

  release(ino: number, handle: number): void {
    this.sessions.close(handle);
    this.#locks.releaseHandle(ino, handle);
    const wrote = canWrite(this.#handles.get(handle)?.flags ?? 0);
    if (this.#handles.close(handle)) this.orphans.closed(ino);
    if (wrote && !this.#handles.isOpenForWriting(ino)) this.offcuts.end(ino);
  }

  async sync(_ino: number): Promise<0 | Errno> {
    await this.#store.durable();
    return 0;
  }

  allocate(ino: number, mode: number, offset: number, length: number): 0 | Errno {
    if (ino === CONTROL_INO) return EOPNOTSUPP;
    return allocate(this.#context, ino, mode, offset, length);
  }

  seek(ino: number, offset: number, whence: number): number | Errno {
    return ino === CONTROL_INO ? ESPIPE : seek(this.#store, ino, offset, whence);
  }

  copyRange(
    source: { ino: number; offset: number },
    target: { ino: number; offset: number },
    length: number,
  ): number | Errno {
    if (source.ino === CONTROL_INO || target.ino === CONTROL_INO) return EINVAL;
    return copyRange(this.#context, source, target, length);
  }

  ioctl(
    _ino: number,
    handle: number,
    command: number,
    input: Buffer,
    outputLengthMax: number,
    caller: Caller,
  ): IoctlReply | Errno | Promise<IoctlReply | Errno> {
    return this.sessions.ioctl(handle, command, input, outputLengthMax, caller);
  }

  openDirectory(ino: number): number | Errno {
    const directory = directoryAt(this.#store, ino);
    return typeof directory === "number" ? directory : this.#handles.open(ino, 0);
  }

  readDirectory(
    ino: number,
    handle: number,
    cookie: number,
    countMax: number,
  ): Promise<readonly DirectoryEntry[] | Errno> | Errno {
    const directory = directoryAt(this.#store, ino);
    if (typeof directory === "number") return directory;
    if (cookie === 0) touch(this.#context, directory);
    return this.#directories.read(ino, handle, cookie, countMax);
  }

  releaseDirectory(handle: number): void {
    const ino = this.#handles.get(handle)?.ino;
    this.sessions.close(handle);
    void this.#directories.close(handle);
    if (this.#handles.close(handle) && ino !== undefined) this.orphans.closed(ino);
  }

  parentOf(ino: number): number {
    return this.#store.inode(ino)?.parent ?? 0;
  }

  setXattr(ino: number, name: string, value: Buffer, flags: number): 0 | Errno {
    if (ino === CONTROL_INO) return EOPNOTSUPP;
    return setXattr(this.#context, ino, name, value, flags);
  }

  getXattr(ino: number, name: string): Buffer | Errno {
    return ino === CONTROL_INO ? EOPNOTSUPP : getXattr(this.#store, ino, name);
  }

  listXattr(ino: number): readonly string[] | Errno {
    return ino === CONTROL_INO ? [] : listXattr(this.#store, ino);
  }

  removeXattr(ino: number, name: string): 0 | Errno {
    return ino === CONTROL_INO ? EOPNOTSUPP : removeXattr(this.#context, ino, name);
  }

  statFileSystem(): FileSystemStatistics {
    const space = this.#store.space();
    const files = this.#store.inodeCount;
    return {
      blockSize: space.blockSize,
      blocks: space.blocks,
      blocksFree: space.free,
      blocksAvailable: space.available,
      files: files + space.available,
      // There is no table of inodes that could be full: what limits their number is the disk.
      filesFree: space.available,
      nameLengthMax: NAME_LENGTH_MAX,
    };
  }

  getLock(ino: number, lock: LockRequest): LockRange | undefined | Errno {
    return ino === CONTROL_INO ? EINVAL : this.#locks.getLock(ino, lock);
  }

  setLock(ino: number, lock: LockRequest): 0 | Errno | Promise<0 | Errno> {
    if (ino === CONTROL_INO) return EINVAL;
    return this.#granted(ino, lock, this.#locks.setLock(ino, lock));
  }

  setLockWait(ino: number, lock: LockRequest, signal: AbortSignal): 0 | Errno | Promise<0 | Errno> {
    if (ino === CONTROL_INO) return EINVAL;
    const result = this.#locks.setLockWait(ino, lock, signal);
    if (!(result instanceof Promise)) return this.#granted(ino, lock, result);
    return result.then((granted) => this.#granted(ino, lock, granted));
  }

  forget(ino: number): void {
    this.#context.overwrites.forget(ino);
    this.offcuts.end(ino);
    this.orphans.forgotten(ino);
  }

  /**
   * Who gets a lock looks at the size next, and may write at what it thinks is the end: the lock is
   * answered when the kernel no longer caches a size from before a delivery.
   */
  #granted(ino: number, lock: LockRequest, result: 0 | Errno): 0 | Errno | Promise<0 | Errno> {
    if (result !== 0 || lock.type === "unlock") return result;
    const settled = this.#settled(ino);
    return settled === undefined ? 0 : settled.then(() => 0);
  }

  #opened(ino: number, flags: number): OpenFile {
    const handle = this.#handles.open(ino, flags);
    return openFileOf(ino, handle);
  }
}

/**
 * What one connection to the kernel remembers between requests: the inodes and open files that the kernel
 * knows of. The kernel takes back each of them once; when the connection ends first, end() does.
 *
 * A reply can be lost: its request was aborted while it was answered. What the reply would have told the
 * kernel (an inode, an open file) must then be taken back, for the kernel will not do it. So a handler
 * names what it grants, and the grants stand until the reply has been written.
 */
import { S_ISGID, S_ISUID, isRegular } from "../attributes.ts";
import { isErrno } from "../../base/errno.ts";
import type { OpenFile, Operations } from "../operations.ts";
import { rootNode } from "./abi.ts";
import type { Herald } from "./herald/herald.ts";
import type { InheritedInodes } from "./inherited-inodes.ts";
import type { LastByte } from "./invalidation.ts";
import { KnownInodes } from "./known-inodes.ts";
import { OwnWrites } from "./own-writes.ts";

const S_IXGRP = 0o10;

/** Drops what the kernel caches of an inode, as Invalidator does; undefined when there is nothing. */
export type Invalidate = (ino: number, offset: number) => Promise<void> | undefined;

/**
 * Resolves when the kernel has dropped all that it was told to drop, of one inode or of every one; undefined
 * when it has.
 */
export type Settled = (ino?: number) => Promise<void> | undefined;

/** Tells the kernel the last byte of a file, and so its size. */
export type TellLastByte = (last: LastByte) => void;

/** The kernel keeps no attributes of a GETATTR that it has sent already. */
export type Outdate = (ino: number) => void;

export interface SessionOptions {
  /** How long the kernel may keep names and attributes without asking again. Seconds. */
  readonly attributeTimeoutSec: number;
  /** Bytes of one READ or WRITE. */
  readonly transferLengthMax: number;
  /** For tests: as on a kernel that sends no request again. */
  readonly withoutResend?: boolean;
}

interface Opened {
  readonly ino: number;
  readonly open: OpenFile;
}

export class Session {
  readonly operations: Operations;
  readonly options: SessionOptions;
  /** The protocol's minor version; 0 until INIT is answered. */
  minor = 0;
  /** Whether the kernel can be asked to send requests again. */
  resends = false;
  /** INIT is understood, its reply follows. */
  onConnected: (() => void) | undefined;
  /** Where a mount was taken over: what an earlier process has granted. */
  inherited: InheritedInodes | undefined;
  /** Why INIT was refused. */
  refusal: string | undefined;
  /** Where watchers are to be told of what hints do; once it is mounted. */
  herald: Herald | undefined;
  readonly #known = new KnownInodes();
  readonly invalidate: Invalidate;
  readonly settled: Settled;
  readonly outdate: Outdate;
  readonly #tellLastByte: TellLastByte;
  /** Files that hints have made longer, and whose size nobody has asked for since. */
  readonly #grown = new Set<number>();
  /** Of the inodes that an earlier process has named, of which it is not known what grew: those whose size was told. */
  readonly #inheritedTold = new Set<number>();
  readonly ownWrites = new OwnWrites();
  readonly #files = new Map<number, Opened>();
  /** How often each inode is open. */
  readonly #openCounts = new Map<number, number>();
  readonly #directories = new Set<number>();
  readonly #grantedInodes: number[] = [];
  readonly #grantedFiles: number[] = [];
  readonly #grantedDirectories: number[] = [];
  readonly #changed: { ino: number; offset: number }[] = [];

  constructor(
    operations: Operations,
    invalidate: Invalidate,
    settled: Settled,
    outdate: Outdate,
    tellLastByte: TellLastByte,
    options: SessionOptions,
  ) {
    this.operations = operations;
    this.invalidate = invalidate;
    this.settled = settled;
    this.outdate = outdate;
    this.#tellLastByte = tellLastByte;
    this.options = options;
  }

  /** The kernel knows the file, and a hint has changed its bytes. */
  grew(ino: number): void {
    this.#grown.add(ino);
  }

  /**
   * Resolves when a reply that tells a file's size may be sent; undefined when it may now.
   *
   * The kernel drops the attributes of a reply if anything was noted on the inode since it asked: a write of another
   * program that has ended, or our notice of a change. A program that asked because it reads under a lock
   * would then see the end from before a delivery, and cut off what is behind it. So the kernel is told the new size
   * by other means before. Nothing that an invalidation waits for waits for this.
   */
  sizeTold(ino: number): Promise<void> | undefined {
    const settled = this.settled(ino);
    if (settled !== undefined) return settled;
    if (!this.#grown.delete(ino) && !this.#mayHaveGrown(ino)) return undefined;
    if (this.inherited !== undefined) this.#inheritedTold.add(ino);
    const last = this.operations.lastByte(ino);
    if (last === undefined) return undefined;
    this.#tellLastByte({ ino, ...last });
    return this.settled(ino);
  }

  #mayHaveGrown(ino: number): boolean {
    return this.inherited?.has(ino) === true && !this.#inheritedTold.has(ino);
  }

  knows(ino: number): boolean {
    return ino === rootNode || this.#known.has(ino) || this.inherited?.has(ino) === true;
  }

  /** Since the kernel knows it. */
  wasOpened(ino: number): boolean {
    return this.#known.isMarked(ino) || this.inherited?.has(ino) === true;
  }

  get knownCount(): number {
    return this.#known.size;
  }

  get openCount(): number {
    return this.#files.size + this.#directories.size;
  }

  /** The reply names an inode. The root is known from the start and never forgotten. */
  grantInode(ino: number): void {
    if (ino === rootNode) return;
    this.#known.add(ino);
    this.#grantedInodes.push(ino);
  }

  grantFile(ino: number, open: OpenFile): void {
    this.#files.set(open.handle, { ino, open });
    this.#openCounts.set(ino, this.timesOpen(ino) + 1);
    this.#known.mark(ino);
    this.#grantedFiles.push(open.handle);
  }

  grantDirectory(handle: number): void {
    this.#directories.add(handle);
    this.#grantedDirectories.push(handle);
  }

  openFile(ino: number, handle: number): OpenFile | undefined {
    const open = this.#files.get(handle)?.open;
    if (open !== undefined || this.inherited === undefined) return open;
    return this.operations.openFile?.(ino, handle);
  }

  /** Open files of an inode; one that is mapped into memory counts as open. */
  timesOpen(ino: number): number {
    return this.#openCounts.get(ino) ?? 0;
  }

  /** Whether there can be more than one; those of an earlier process are not counted. */
  isOpenTwice(ino: number): boolean {
    return this.timesOpen(ino) > 1 || this.inherited?.has(ino) === true;
  }

  /** The reply is with the kernel: what it granted is the kernel's to take back. */
  settleGrants(): void {
    this.#grantedInodes.length = 0;
    this.#grantedFiles.length = 0;
    this.#grantedDirectories.length = 0;
  }

  /** The reply never reached the kernel. */
  revokeGrants(): void {
    const inodes = this.#grantedInodes.splice(0);
    const files = this.#grantedFiles.splice(0);
    const directories = this.#grantedDirectories.splice(0);
    for (const handle of files) this.release(handle);
    for (const handle of directories) this.releaseDirectory(handle);
    for (const ino of inodes) this.forget(ino, 1);
  }

  forget(ino: number, count: number): void {
    const wasLast = this.#known.subtract(ino, count);
    // How often an earlier process has named it is not known, so the kernel itself is asked.
    if (this.inherited?.has(ino) === true) return this.inherited.ask(ino);
    if (!wasLast) return;
    this.forgotten(ino);
  }

  /** The kernel does not know the inode any more. */
  forgotten(ino: number): void {
    this.ownWrites.forget(ino);
    this.#grown.delete(ino);
    this.#inheritedTold.delete(ino);
    this.operations.forget(ino);
  }

  /** False when there is no such open file. `ino` is needed for one of an earlier process only. */
  release(handle: number, ino = 0): boolean {
    const opened = this.#files.get(handle);
    if (opened === undefined && this.inherited !== undefined && ino !== 0) {
      this.operations.release(ino, handle);
      return true;
    }
    if (opened === undefined) return false;
    this.#files.delete(handle);
    const times = this.timesOpen(opened.ino) - 1;
    if (times > 0) this.#openCounts.set(opened.ino, times);
    else this.#openCounts.delete(opened.ino);
    this.operations.release(opened.ino, handle);
    return true;
  }

  releaseDirectory(handle: number): boolean {
    if (!this.#directories.delete(handle) && this.inherited === undefined) return false;
    this.operations.releaseDirectory(handle);
    return true;
  }

  /** The kernel's cache of this inode will be wrong once the reply is written: from `offset` on, or (< 0) its attributes. */
  changedBehindKernel(ino: number, offset: number): void {
    this.#changed.push({ ino, offset });
  }

  takeChanged(): readonly { ino: number; offset: number }[] {
    return this.#changed.length === 0 ? [] : this.#changed.splice(0);
  }

  /**
   * The mode without the bits that a write, truncation or chown takes away: set-user-id always, set-group-id
   * where the group may execute (without that it once meant mandatory locking).
   */
  modeAfterKill(ino: number): { mode: number; changed: boolean } | undefined {
    const present = this.operations.getAttributes(ino);
    if (isErrno(present) || !isRegular(present.mode)) return undefined;
    let mode = present.mode & ~S_ISUID;
    if ((mode & S_IXGRP) !== 0) mode &= ~S_ISGID;
    return { mode, changed: mode !== present.mode };
  }

  /** Clears these bits; the kernel, which asked for it, does not look at the mode again by itself. */
  killPrivileges(ino: number): void {
    const kill = this.modeAfterKill(ino);
    if (kill === undefined || !kill.changed) return;
    const result = this.operations.setAttributes(
      ino,
      { mode: kill.mode },
      { uid: 0, gid: 0, pid: 0 },
    );
    if (!isErrno(result)) this.changedBehindKernel(ino, -1);
  }

  /** The connection is gone, and with it all that the kernel knew. */
  end(): void {
    this.settleGrants();
    for (const handle of this.#files.keys()) this.release(handle);
    for (const handle of this.#directories) this.releaseDirectory(handle);
    this.#known.clear((ino) => this.operations.forget(ino));
  }
}

/**
 * The locks that programs hold on files of the mount, and those who wait for one. No clock, no input or
 * output: a lock that waits is a promise.
 *
 * Byte-range locks (fcntl(2)) belong to an owner: to a process's table of open files, or to one open
 * file (OFD locks); the kernel tells only a number. flock(2) locks belong to an open file and cover it
 * whole. The two kinds do not see each other, as on Linux, but both keep a delivery waiting.
 *
 * Invariants, asserted by check():
 * - Two owners never hold locks of one kind that exclude each other on a byte.
 * - A waiter has a lock in its way, until the table is drained: whenever something is given back, waiters are served in the order
 *   in which they came. One that cannot be served holds up nobody behind it: a wait for a waiter could
 *   be a deadlock that fcntl(2) does not have. For the same reason a new request does not queue
 *   behind a waiter.
 * - Counts of locks and waiters are true; an inode without either is not in the table.
 *
 * Not here: dotlocks (fs/delivery), and who may lock what (the kernel has checked the open mode).
 */
import { assert } from "../../base/assert.ts";
import { EAGAIN, EDEADLK, EINTR, EINVAL, ENOLCK, type Errno } from "../../base/errno.ts";
import { closesCycle, type Wait } from "./deadlock.ts";
import { END_OF_FILE } from "./ranges.ts";
import { LockSpace } from "./space.ts";

/** end is inclusive; 2^63-1 (as a bigint or Number.MAX_SAFE_INTEGER) stands for the end of the file. */
export interface LockRange {
  readonly type: "read" | "write";
  readonly start: number;
  readonly end: number;
  readonly pid: number;
}

export interface LockRequest {
  /** The kernel's lock owner: one for each process's file table, or for each open file (OFD, flock). */
  readonly owner: bigint;
  /** The open file through which the lock was set. */
  readonly handle: number;
  readonly flavor: "posix" | "flock";
  readonly type: "read" | "write" | "unlock";
  readonly start: number;
  /** Inclusive. */
  readonly end: number;
  readonly pid: number;
}

/** Locks held and waited for on one inode. It bounds the work of one unlock, which looks at all of them. */
export const LOCKS_PER_INODE_MAX = 4096;
/** Locks held and waited for in all; each takes some 200 bytes. */
export const LOCKS_MAX = 262_144;

/** Told of each change before anybody is answered. */
export interface LockObserver {
  lockSet(ino: number, request: LockRequest): void;
  lockOwnerDropped(ino: number, owner: bigint): void;
  lockHandleDropped(ino: number, handle: number): void;
}

export interface LockTableOptions {
  readonly observer?: LockObserver | undefined;
  /**
   * The last lock on an inode has gone. Called when the table is consistent and the waiters that could be served
   * have their locks; it may call the table.
   */
  readonly onUnlocked: (ino: number) => void;
  readonly locksPerInodeMax?: number;
  readonly locksMax?: number;
}

interface Waiter extends Wait {
  readonly finish: (result: 0 | Errno) => void;
}

interface InodeLocks {
  readonly ino: number;
  readonly posix: LockSpace;
  readonly flock: LockSpace;
  /** In order of arrival. */
  readonly waiters: Set<Waiter>;
}

export class LockTable {
  readonly #onUnlocked: (ino: number) => void;
  readonly #observer: LockObserver | undefined;
  readonly #locksPerInodeMax: number;
  readonly #locksMax: number;
  readonly #inodes = new Map<number, InodeLocks>();
  /** The byte-range waits of each owner, for finding deadlocks. */
  readonly #waits = new Map<bigint, Set<Waiter>>();
  /** Locks and waiters of all inodes. */
  #count = 0;
  #isDraining = false;

  constructor({ onUnlocked, observer, locksPerInodeMax, locksMax }: LockTableOptions) {
    this.#onUnlocked = onUnlocked;
    this.#observer = observer;
    this.#locksPerInodeMax = locksPerInodeMax ?? LOCKS_PER_INODE_MAX;
    this.#locksMax = locksMax ?? LOCKS_MAX;
  }

  /** Locks held and requests that wait. */
  get size(): number {
    return this.#count;
  }

  get isHeldForWriting(): boolean {
    for (const { request } of this.held()) if (request.type === "write") return true;
    return false;
  }

  /**
   * From now on an inode that nobody has locked stays so: who asks finds it locked, who waits goes on waiting. Who
   * has a lock may set others, to finish what it is doing. There is no way back: the mount is about to go.
   */
  drain(): void {
    this.#isDraining = true;
  }

  hasLocks(ino: number): boolean {
    const inode = this.#inodes.get(ino);
    return inode !== undefined && isLocked(inode);
  }

  /** Whether a process other than this one holds a lock, of either kind and on any byte. */
  hasLocksOfOthers(ino: number, pid: number): boolean {
    const inode = this.#inodes.get(ino);
    if (inode === undefined) return false;
    return inode.posix.hasLocksOfOthers(pid) || inode.flock.hasLocksOfOthers(pid);
  }

  /** F_GETLK: of the locks in the way, the one that begins first. */
  getLock(ino: number, request: LockRequest): LockRange | undefined {
    const inode = this.#inodes.get(ino);
    if (inode === undefined || request.type === "unlock") return undefined;
    let first: LockRange | undefined;
    for (const { lock } of inode[request.flavor].conflicts(normalized(request))) {
      if (first === undefined || lock.start < first.start) first = lock;
    }
    if (first === undefined) return undefined;
    const { type, start, end, pid } = first;
    return { type, start, end, pid };
  }

  /** EAGAIN: another's lock is in the way. ENOLCK: a limit. EINVAL: not a range. */
  setLock(ino: number, request: LockRequest): 0 | Errno {
    const wanted = normalized(request);
    if (!isRange(wanted)) return EINVAL;
    const known = this.#inodes.get(ino);
    if (known === undefined && wanted.type === "unlock") return 0;
    const inode = known ?? newInode(ino);
    const wasLocked = isLocked(inode);
    if (this.#isDraining && !wasLocked && wanted.type !== "unlock") return EAGAIN;

    if (wanted.flavor === "flock" && wanted.type !== "unlock") this.#dropToConvert(inode, wanted);
    let result: 0 | Errno = EAGAIN;
    if (wanted.type === "unlock" || inode[wanted.flavor].isFree(wanted)) {
      const outcome = this.#apply(inode, wanted);
      result = outcome.result;
      if (result === 0) this.#inodes.set(ino, inode);
      if (outcome.released) this.#serve(inode);
    }
    this.#settle(inode, wasLocked);
    return result;
  }

  /**
   * F_SETLKW and flock without LOCK_NB: waits where setLock says EAGAIN. `signal` ends the wait with
   * EINTR. EDEADLK: the owner would wait for somebody who waits for it (byte-range locks only; Linux
   * looks for no cycles among OFD locks, but they cannot be told apart here).
   */
  setLockWait(
    ino: number,
    request: LockRequest,
    signal: AbortSignal,
  ): 0 | Errno | Promise<0 | Errno> {
    const result = this.setLock(ino, request);
    if (result !== EAGAIN) return result;
    const wanted = normalized(request);
    // Something is in the way, so the inode is known.
    const inode = this.#inodes.get(ino) ?? (this.#isDraining ? newInode(ino) : undefined);
    assert(inode !== undefined, "a lock that is in the way is in the table");
    if (wanted.flavor === "posix" && this.#wouldDeadlock(ino, wanted)) return EDEADLK;
    if (signal.aborted) return EINTR;
    if (!this.#hasRoom(inode, 1)) return ENOLCK;
    return new Promise((resolve) => {
      const interrupted = (): void => {
        this.#drop(inode, waiter, EINTR);
      };
      const waiter: Waiter = {
        ino,
        request: wanted,
        finish: (outcome) => {
          signal.removeEventListener("abort", interrupted);
          resolve(outcome);
        },
      };
      signal.addEventListener("abort", interrupted, { once: true });
      this.#inodes.set(ino, inode);
      this.#add(inode, waiter);
    });
  }

  /**
   * close(2) of one of a process's descriptors: its byte-range locks on this inode go, whichever
   * descriptor they were set through, and its waits for one end with EINTR.
   */
  releaseOwner(ino: number, owner: bigint): void {
    const inode = this.#inodes.get(ino);
    if (inode === undefined) return;
    const wasLocked = isLocked(inode);
    for (const waiter of inode.waiters) {
      const { request } = waiter;
      if (request.flavor === "posix" && request.owner === owner) this.#remove(inode, waiter, EINTR);
    }
    const dropped = inode.posix.dropOwner(owner);
    if (dropped > 0) this.#observer?.lockOwnerDropped(ino, owner);
    this.#count -= dropped;
    if (dropped > 0) this.#serve(inode);
    this.#settle(inode, wasLocked);
  }

  /** The last close of an open file: what was set through it goes, its waits end with EINTR. */
  releaseHandle(ino: number, handle: number): void {
    const inode = this.#inodes.get(ino);
    if (inode === undefined) return;
    const wasLocked = isLocked(inode);
    for (const waiter of inode.waiters) {
      if (waiter.request.handle === handle) this.#remove(inode, waiter, EINTR);
    }
    const dropped = inode.posix.dropHandle(handle) + inode.flock.dropHandle(handle);
    if (dropped > 0) this.#observer?.lockHandleDropped(ino, handle);
    this.#count -= dropped;
    if (dropped > 0) this.#serve(inode);
    this.#settle(inode, wasLocked);
  }

  /** All locks that are held, as requests that set them. */
  *held(): Generator<{ readonly ino: number; readonly request: LockRequest }> {
    for (const [ino, { posix, flock }] of this.#inodes) {
      for (const request of posix.held("posix")) yield { ino, request };
      for (const request of flock.held("flock")) yield { ino, request };
    }
  }

  /** Asserts the invariants of the head comment. For tests. */
  check(): void {
    let count = 0;
    let waits = 0;
    for (const [ino, inode] of this.#inodes) {
      assert(ino === inode.ino && countOf(inode) > 0, "an inode in the table has locks or waiters");
      count += countOf(inode);
      inode.posix.check();
      inode.flock.check();
      for (const waiter of inode.waiters) {
        const { request } = waiter;
        const isFree = inode[request.flavor].isFree(request);
        assert(!isFree || this.#isDraining, "a waiter has a lock in its way");
        if (request.flavor === "flock") continue;
        waits++;
        assert(this.#waits.get(request.owner)?.has(waiter), "every wait is known by its owner");
      }
    }
    assert(count === this.#count, "locks and waiters are counted");
    for (const [, of] of this.#waits) waits -= of.size;
    assert(waits === 0, "an owner's waits are those of the inodes");
  }

  #hasRoom(inode: InodeLocks, more: number): boolean {
    return countOf(inode) + more <= this.#locksPerInodeMax && this.#count + more <= this.#locksMax;
  }

  /** Sets or clears a lock that nothing is in the way of. */
  #apply(inode: InodeLocks, request: LockRequest): { result: 0 | Errno; released: boolean } {
    const space = inode[request.flavor];
    const plan = space.plan(request);
    const growth = plan.added.length - plan.removed.length;
    if (growth > 0 && !this.#hasRoom(inode, growth)) return { result: ENOLCK, released: false };
    if (plan.added.length + plan.removed.length > 0) this.#observer?.lockSet(inode.ino, request);
    space.apply(request.owner, plan);
    this.#count += growth;
    const released =
      request.type === "unlock"
        ? plan.removed.length > 0
        : request.type === "read" && plan.removed.some((lock) => lock.type === "write");
    return { result: 0, released };
  }

  /**
   * flock(2): a conversion first gives back the lock that is held, which serves those who wait for it, and
   * then asks for the new one. So the lock may be lost, and two readers that both want to write do not
   * wait for each other.
   */
  #dropToConvert(inode: InodeLocks, request: LockRequest): void {
    const unlock = { ...request, type: "unlock" } as const;
    const held = inode.flock.plan(unlock).removed[0];
    if (held === undefined || held.type === request.type) return;
    this.#apply(inode, unlock);
    this.#serve(inode);
  }

  #wouldDeadlock(ino: number, request: LockRequest): boolean {
    return closesCycle(
      { ino, request },
      (wait) => this.#inodes.get(wait.ino)?.posix.conflicts(wait.request) ?? [],
      (owner) => this.#waits.get(owner) ?? [],
    );
  }

  /** Something was given back: gives locks to the waiters that can have them, in order. */
  #serve(inode: InodeLocks): void {
    // Serving a waiter may turn its own write lock into a read lock and so make room for an earlier one.
    let again = true;
    while (again) {
      again = false;
      for (const waiter of inode.waiters) {
        if (this.#isDraining && !isLocked(inode)) return;
        if (!inode[waiter.request.flavor].isFree(waiter.request)) continue;
        // It leaves its place first, which is room for the lock.
        this.#remove(inode, waiter, undefined);
        const outcome = this.#apply(inode, waiter.request);
        again ||= outcome.released;
        waiter.finish(outcome.result);
      }
    }
  }

  /** The end of every change: forgets an inode without locks, and tells of the end of the last one. */
  #settle(inode: InodeLocks, wasLocked: boolean): void {
    if (countOf(inode) === 0) this.#inodes.delete(inode.ino);
    if (wasLocked && !isLocked(inode)) this.#onUnlocked(inode.ino);
  }

  #drop(inode: InodeLocks, waiter: Waiter, result: Errno): void {
    this.#remove(inode, waiter, result);
    if (countOf(inode) === 0) this.#inodes.delete(inode.ino);
  }

  #add(inode: InodeLocks, waiter: Waiter): void {
    inode.waiters.add(waiter);
    this.#count++;
    const { flavor, owner } = waiter.request;
    if (flavor === "flock") return;
    const waits = this.#waits.get(owner);
    if (waits === undefined) this.#waits.set(owner, new Set([waiter]));
    else waits.add(waiter);
  }

  /** Takes a waiter out, and answers it unless that is done later. */
  #remove(inode: InodeLocks, waiter: Waiter, result: Errno | undefined): void {
    const present = inode.waiters.delete(waiter);
    assert(present, "a waiter is answered once");
    this.#count--;
    const { flavor, owner } = waiter.request;
    const waits = flavor === "posix" ? this.#waits.get(owner) : undefined;
    waits?.delete(waiter);
    if (waits?.size === 0) this.#waits.delete(owner);
    if (result !== undefined) waiter.finish(result);
  }
}

function newInode(ino: number): InodeLocks {
  return { ino, posix: new LockSpace(), flock: new LockSpace(), waiters: new Set() };
}

function countOf(inode: InodeLocks): number {
  return inode.posix.count + inode.flock.count + inode.waiters.size;
}

function isLocked({ posix, flock }: InodeLocks): boolean {
  return posix.count + flock.count > 0;
}

/** flock covers the whole file; any end beyond what a number holds is the end of the file. */
function normalized(request: LockRequest): LockRequest {
  if (request.flavor === "flock") return { ...request, start: 0, end: END_OF_FILE };
  return request.end <= END_OF_FILE ? request : { ...request, end: END_OF_FILE };
}

function isRange({ start, end }: LockRequest): boolean {
  return Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && end >= start;
}

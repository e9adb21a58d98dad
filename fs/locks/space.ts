/**
 * One of the two spaces of locks on an inode: byte-range locks (fcntl, OFD) or flock locks. Linux lets
 * the two kinds ignore each other, so nothing here looks across.
 */
import { assert } from "../../base/assert.ts";
import {
  applyPlan,
  checkRanges,
  firstReaching,
  planSet,
  planUnlock,
  type HeldLock,
  type RangePlan,
} from "./ranges.ts";
import type { LockRequest } from "./table.ts";

export interface Conflict {
  readonly owner: bigint;
  readonly lock: HeldLock;
}

export class LockSpace {
  readonly #owners = new Map<bigint, HeldLock[]>();
  /** Locks held. */
  count = 0;

  /** The other owners' locks that exclude this request, each owner's in order. */
  *conflicts(request: LockRequest): Generator<Conflict> {
    for (const [owner, locks] of this.#owners) {
      if (owner === request.owner) continue;
      for (let i = firstReaching(locks, request.start); i < locks.length; i++) {
        const lock = locks[i]!;
        if (lock.start > request.end) break;
        if (request.type === "write" || lock.type === "write") yield { owner, lock };
      }
    }
  }

  /** The locks, as requests that set them. */
  *held(flavor: LockRequest["flavor"]): Generator<LockRequest> {
    for (const [owner, locks] of this.#owners) {
      for (const { type, start, end, pid, handle } of locks) {
        yield { owner, handle, flavor, type, start, end, pid };
      }
    }
  }

  isFree(request: LockRequest): boolean {
    return this.conflicts(request).next().done === true;
  }

  /** Whether there is a lock that was not set by this process. Read locks overlap, so each is looked at. */
  hasLocksOfOthers(pid: number): boolean {
    for (const locks of this.#owners.values()) {
      if (locks.some((lock) => lock.pid !== pid)) return true;
    }
    return false;
  }

  plan(request: LockRequest): RangePlan {
    const { owner, type, start, end, pid, handle } = request;
    const locks = this.#owners.get(owner) ?? [];
    if (type === "unlock") return planUnlock(locks, start, end);
    return planSet(locks, { type, start, end, pid, handle });
  }

  /** `plan` was made for this owner and nothing has changed since. */
  apply(owner: bigint, plan: RangePlan): void {
    let locks = this.#owners.get(owner);
    if (locks === undefined) this.#owners.set(owner, (locks = []));
    applyPlan(locks, plan);
    if (locks.length === 0) this.#owners.delete(owner);
    this.count += plan.added.length - plan.removed.length;
  }

  /** Drops an owner's locks; the number of them. */
  dropOwner(owner: bigint): number {
    const locks = this.#owners.get(owner);
    if (locks === undefined) return 0;
    this.#owners.delete(owner);
    this.count -= locks.length;
    return locks.length;
  }

  /** Drops what was set through an open file, whoever owns it; the number of locks. */
  dropHandle(handle: number): number {
    const before = this.count;
    for (const [owner, locks] of this.#owners) {
      const kept = locks.filter((lock) => lock.handle !== handle);
      if (kept.length === locks.length) continue;
      this.apply(owner, { index: 0, removed: locks.slice(), added: kept });
    }
    return before - this.count;
  }

  /** Asserts that the counts are true and that every owner's ranges are in order. */
  check(): void {
    let count = 0;
    for (const [owner, locks] of this.#owners) {
      checkRanges(locks);
      count += locks.length;
      for (const lock of locks) {
        assert(
          this.isFree({ ...lock, owner, flavor: "posix" }),
          "two owners never hold locks that exclude each other",
        );
      }
    }
    assert(count === this.count, "the locks of a space are counted");
  }
}

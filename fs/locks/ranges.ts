/**
 * The locks of one owner on one inode: sorted by start, disjoint, and two that touch differ in type.
 * A change is planned first and applied afterwards, so that a limit can refuse it with nothing done.
 */
import { assert } from "../../base/assert.ts";
import type { LockRange } from "./table.ts";

/** The end of the file, however long it becomes. */
export const END_OF_FILE = Number.MAX_SAFE_INTEGER;

export interface HeldLock extends LockRange {
  readonly handle: number;
}

export interface RangePlan {
  readonly index: number;
  readonly removed: readonly HeldLock[];
  readonly added: readonly HeldLock[];
}

/** The place of the first lock that ends at `position` or behind it; the length if there is none. */
export function firstReaching(locks: readonly HeldLock[], position: number): number {
  let low = 0;
  let high = locks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (locks[middle]!.end < position) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * What becomes of `locks` when `change` is laid over them: parts of it under another type give way,
 * neighbours of the same type join it. The joined lock has the pid and the handle of the change.
 */
export function planSet(locks: readonly HeldLock[], change: HeldLock): RangePlan {
  const index = firstReaching(locks, change.start - 1);
  const left: HeldLock[] = [];
  const right: HeldLock[] = [];
  let { start, end } = change;
  let next = index;
  for (; next < locks.length && locks[next]!.start <= change.end + 1; next++) {
    const lock = locks[next]!;
    if (lock.type === change.type) {
      start = Math.min(start, lock.start);
      end = Math.max(end, lock.end);
    } else {
      if (lock.start < change.start) left.push(endingBefore(lock, change.start));
      if (lock.end > change.end) right.push(startingBehind(lock, change.end));
    }
  }
  return {
    index,
    removed: locks.slice(index, next),
    added: [...left, { ...change, start, end }, ...right],
  };
}

export function planUnlock(locks: readonly HeldLock[], start: number, end: number): RangePlan {
  const index = firstReaching(locks, start);
  const added: HeldLock[] = [];
  let next = index;
  for (; next < locks.length && locks[next]!.start <= end; next++) {
    const lock = locks[next]!;
    if (lock.start < start) added.push(endingBefore(lock, start));
    if (lock.end > end) added.push(startingBehind(lock, end));
  }
  return { index, removed: locks.slice(index, next), added };
}

function endingBefore(lock: HeldLock, start: number): HeldLock {
  return { ...lock, end: Math.min(lock.end, start - 1) };
}

function startingBehind(lock: HeldLock, end: number): HeldLock {
  return { ...lock, start: Math.max(lock.start, end + 1) };
}

export function applyPlan(locks: HeldLock[], plan: RangePlan): void {
  locks.splice(plan.index, plan.removed.length, ...plan.added);
}

/** Asserts what the head comment says. */
export function checkRanges(locks: readonly HeldLock[]): void {
  assert(locks.length > 0, "an owner without locks is not kept");
  let before: HeldLock | undefined;
  for (const lock of locks) {
    assert(lock.start >= 0 && lock.start <= lock.end, "a lock covers at least one byte");
    assert(lock.end <= END_OF_FILE, "a lock ends at the end of the file at the latest");
    if (before !== undefined) {
      assert(before.end < lock.start, "one owner's locks are sorted and disjoint");
      assert(
        before.end + 1 < lock.start || before.type !== lock.type,
        "locks of one type that touch are one lock",
      );
    }
    before = lock;
  }
}

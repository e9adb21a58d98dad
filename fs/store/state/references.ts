/**
 * How often each byte of a unit is referenced: a flat list of runs [length, count, length, count, ...]
 * that covers the unit. Neighbours differ in count, so a unit that is referenced as a whole has one run.
 */
import { assert } from "../../../base/assert.ts";

/** Bytes that came to life (or died, < 0) and bytes that came to be shared (or ceased to be, < 0). */
export interface ReferenceEffect {
  live: number;
  shared: number;
}

export type Runs = readonly number[];

export function unreferenced(length: number): number[] {
  return [length, 0];
}

/** `delta` more references to [offset, offset + length); the effect is added to `effect`. */
export function addReferences(
  runs: Runs,
  offset: number,
  length: number,
  delta: number,
  effect: ReferenceEffect,
): number[] {
  const result: number[] = [];
  const end = offset + length;
  let at = 0;
  for (let k = 0; k < runs.length; k += 2) {
    const runLength = runs[k] as number;
    const count = runs[k + 1] as number;
    const runEnd = at + runLength;
    const from = Math.max(at, offset);
    const to = Math.min(runEnd, end);
    if (from >= to) {
      push(result, runLength, count);
    } else {
      const changed = count + delta;
      assert(changed >= 0, "a byte's references are not negative");
      if (from > at) push(result, from - at, count);
      push(result, to - from, changed);
      if (to < runEnd) push(result, runEnd - to, count);
      const bytes = to - from;
      if (count === 0 && changed > 0) effect.live += bytes;
      if (count > 0 && changed === 0) effect.live -= bytes;
      if (count < 2 && changed >= 2) effect.shared += bytes;
      if (count >= 2 && changed < 2) effect.shared -= bytes;
    }
    at = runEnd;
  }
  assert(end <= at, "a referenced range lies in its unit");
  return result;
}

export function isUnreferenced(runs: Runs): boolean {
  return runs.length === 2 && runs[1] === 0;
}

/** The runs of a unit that is shorter or longer now; what is cut off was not referenced. */
export function runsWithin(runs: Runs, length: number): Runs {
  const result: number[] = [];
  let at = 0;
  for (let k = 0; k < runs.length; k += 2) {
    const runLength = runs[k] as number;
    const count = runs[k + 1] as number;
    const kept = Math.min(runLength, length - at);
    assert(kept === runLength || count === 0, "a byte that is referenced stays");
    if (kept > 0) push(result, kept, count);
    at += Math.max(0, kept);
  }
  if (at < length) push(result, length - at, 0);
  return result;
}

/** Parts [offset, length, ...] with at least one reference, in order. */
export function referencedParts(runs: Runs): number[] {
  const parts: number[] = [];
  let at = 0;
  for (let k = 0; k < runs.length; k += 2) {
    const length = runs[k] as number;
    const last = parts.length - 2;
    if ((runs[k + 1] as number) > 0) {
      if (last >= 0 && (parts[last] as number) + (parts[last + 1] as number) === at) {
        parts[last + 1] = (parts[last + 1] as number) + length;
      } else {
        parts.push(at, length);
      }
    }
    at += length;
  }
  return parts;
}

/** Bytes with at least `count` references. */
export function bytesReferenced(runs: Runs, count: number): number {
  let bytes = 0;
  for (let k = 0; k < runs.length; k += 2) {
    if ((runs[k + 1] as number) >= count) bytes += runs[k] as number;
  }
  return bytes;
}

function push(runs: number[], length: number, count: number): void {
  const last = runs.length - 1;
  if (last > 0 && runs[last] === count) runs[last - 1] = (runs[last - 1] as number) + length;
  else runs.push(length, count);
}

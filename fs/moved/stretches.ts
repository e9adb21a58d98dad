/**
 * Finds runs in a stretch of data that no match at its sides covers: the searches in the order of their
 * cost, then the same for what is left on both sides of what they find.
 */
import type { Direction } from "./far.ts";
import { FarSearches } from "./far-searches.ts";
import { KEY_LENGTH, RESUME_DISTANCE_MAX, SHIFT_MATCH_LENGTH_MIN } from "./limits.ts";
import { isSure, lengthOf, type Matching, type Run } from "./matching.ts";
import { pays, searchAhead, searchBehind, type Side, type Stretch } from "./near.ts";

export interface SearchPlan {
  /** Shifts that are tried at a few places before anything is searched. */
  readonly shifts: readonly number[];
  /** False while far searches are held back. */
  readonly far: boolean;
  readonly direction: Direction;
  readonly searchedTo: number | undefined;
}

export interface SearchResult {
  /** Disjoint, in no order. */
  readonly runs: Run[];
  /** How the last far search ended; undefined: there was none. */
  readonly far: "found" | "failed" | undefined;
  readonly searchedTo: number | undefined;
}

/** `first`: a run that is known already. */
export function searchStretch(
  matching: Matching,
  whole: Stretch,
  plan: SearchPlan,
  first?: Run,
): SearchResult {
  const runs: Run[] = first === undefined ? [] : [first];
  const stretches: Stretch[] =
    first === undefined ? [whole] : [restBelow(whole, first), restAbove(whole, first)];
  const far = new FarSearches(matching, plan, first === undefined ? undefined : "found");
  for (;;) {
    const stretch = stretches.pop();
    if (stretch === undefined) return { runs, far: far.outcome, searchedTo: far.searchedTo };
    if (stretch.high - stretch.low < KEY_LENGTH || matching.old.size === 0) continue;

    const behind = searchBehind(matching, stretch);
    const isFollowed = behind !== undefined && isSure(behind);
    const message = isFollowed ? undefined : far.message(stretch, behind);
    if (message === undefined && behind !== undefined) {
      // Every key between the match below and this one was looked for already.
      runs.push(behind);
      stretches.push(restAbove(stretch, behind));
      continue;
    }
    const ahead = message === undefined ? searchAhead(matching, stretch) : undefined;
    if (ahead !== undefined) {
      runs.push(ahead);
      stretches.push(restBelow(stretch, ahead));
      continue;
    }
    const run = message ?? probe(matching, stretch, plan.shifts) ?? far.anywhere(stretch);
    if (run === undefined) continue;
    runs.push(run);
    stretches.push(restBelow(stretch, run), restAbove(stretch, run));
  }
}

function restAbove(stretch: Stretch, run: Run): Stretch {
  const below = { shift: run.shift, gap: 0 };
  const sureBelow = isSure(run) ? below : farther(stretch.sureBelow, run.end - stretch.low);
  return { ...stretch, low: run.end, below, sureBelow };
}

function restBelow(stretch: Stretch, run: Run): Stretch {
  const above = { shift: run.shift, gap: 0 };
  const sureAbove = isSure(run) ? above : farther(stretch.sureAbove, stretch.high - run.start);
  return { ...stretch, high: run.start, above, sureAbove };
}

function farther(side: Side | undefined, length: number): Side | undefined {
  return side && { shift: side.shift, gap: side.gap + length };
}

/** Tries the shifts known from elsewhere at a few places. */
export function probe(
  matching: Matching,
  stretch: Stretch,
  shifts: readonly number[],
): Run | undefined {
  const { low, high, below, above } = stretch;
  const alone = below === undefined && above === undefined;
  const last = high - KEY_LENGTH;
  const places = new Set([low, last, low + ((last - low) >> 1)]);
  for (let distance = 2 * RESUME_DISTANCE_MAX; distance < last - low; distance *= 2) {
    places.add(low + distance);
    places.add(last - distance);
  }
  for (const at of places) {
    for (const shift of shifts) {
      if (!matching.keyStands(at, shift)) continue;
      const run = matching.runAround(at, shift, low, high);
      // Beside a known match a header line that stands at an earlier shift too would lead away from it.
      if (alone ? pays(run, matching) : lengthOf(run) >= SHIFT_MATCH_LENGTH_MIN) return run;
    }
  }
  return undefined;
}

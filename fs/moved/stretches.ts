/**
 * Finds runs in a stretch of data that no match at its sides covers: the searches in the order of their
 * cost, then the same for what is left on both sides of what they find.
 */
import { type Direction, searchFar } from "./far.ts";
import { KEY_LENGTH, RESUME_DISTANCE_MAX, SHIFT_MATCH_LENGTH_MIN } from "./limits.ts";
import type { Matching, Run } from "./matching.ts";
import { pays, searchAhead, searchBehind, type Stretch } from "./near.ts";

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

export function searchStretch(matching: Matching, whole: Stretch, plan: SearchPlan): SearchResult {
  const runs: Run[] = [];
  const stretches: Stretch[] = [whole];
  let far: SearchResult["far"];
  let searchedTo = plan.searchedTo;
  for (;;) {
    const stretch = stretches.pop();
    if (stretch === undefined) return { runs, far, searchedTo };
    const { low, high, below, above } = stretch;
    if (high - low < KEY_LENGTH || matching.old.size === 0) continue;

    const behind = searchBehind(matching, stretch);
    if (behind !== undefined) {
      // Every key between the match below and this one was looked for already.
      runs.push(behind);
      stretches.push({ low: behind.end, high, below: sideOf(behind), above });
      continue;
    }
    const ahead = searchAhead(matching, stretch);
    if (ahead !== undefined) {
      runs.push(ahead);
      stretches.push({ low, high: ahead.start, below, above: sideOf(ahead) });
      continue;
    }
    let run = probe(matching, stretch, plan.shifts);
    if (run === undefined && plan.far && far !== "failed" && mayBeFar(stretch)) {
      const result = searchFar(matching, stretch, plan.direction, searchedTo);
      run = result.run;
      far = run === undefined ? "failed" : "found";
      searchedTo = run === undefined ? result.searchedTo : undefined;
    }
    if (run === undefined) continue;
    runs.push(run);
    stretches.push({ low, high: run.start, below, above: sideOf(run) });
    stretches.push({ low: run.end, high, below: sideOf(run), above });
  }
}

function sideOf(run: Run): { shift: number; gap: number } {
  return { shift: run.shift, gap: 0 };
}

/** Between two matches of one WRITE there are edited bytes; a far place is likely only for long ones. */
function mayBeFar(stretch: Stretch): boolean {
  const between = stretch.below !== undefined && stretch.above !== undefined;
  return stretch.high - stretch.low >= (between ? SHIFT_MATCH_LENGTH_MIN : KEY_LENGTH);
}

/** Tries the shifts known from elsewhere at a few places. */
function probe(matching: Matching, stretch: Stretch, shifts: readonly number[]): Run | undefined {
  const { low, high } = stretch;
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
      if (pays(run, matching)) return run;
    }
  }
  return undefined;
}

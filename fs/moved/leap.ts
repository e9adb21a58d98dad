/**
 * The first WRITE of a mover, or one before which it has left out bytes: with it a message begins, behind some that
 * were expunged. Its header has many lines that stand in those too, one after the other, so the nearest match is mostly
 * a wrong one. Here counts the match that explains most of the data.
 */
import { type Direction, searchFar } from "./far.ts";
import {
  LEAP_MATCH_LENGTH_GOOD,
  LEAP_MATCH_LENGTH_SURE,
  SHIFT_MATCH_LENGTH_MIN,
} from "./limits.ts";
import { lengthOf, type Matching, type Run } from "./matching.ts";
import { type Neighbours, sideOfEdge, trustedSide } from "./neighbours.ts";
import type { Stretch } from "./near.ts";
import { probe, type SearchPlan } from "./stretches.ts";

/** In a header many, since most of its lines are not its own: ids and dates stand in the middle, blanks at the end. */
const KEY_PLACES = [1 / 3, 1 / 2, 1 / 6, 5 / 12, 1 / 4, 7 / 12, 2 / 3, 1 / 12];

const OUTER = [0, 4] as const;

export interface Leap {
  /** All of the data, and what is known on its sides. */
  readonly whole: Stretch;
  /** undefined: nothing explains so much of it that it may be trusted. */
  readonly run: Run | undefined;
  /** How far was searched in vain; undefined: nothing was. */
  readonly searchedTo: number | undefined;
}

export function searchLeap(matching: Matching, neighbours: Neighbours, plan: SearchPlan): Leap {
  const { length } = matching.data;
  const below = trustedSide(neighbours.below) ?? sideOfEdge(neighbours.below);
  const above = trustedSide(neighbours.above) ?? sideOfEdge(neighbours.above);
  const whole = { low: 0, high: length, below, above, sureBelow: below, sureAbove: above };
  const lengthMin = Math.max(SHIFT_MATCH_LENGTH_MIN, Math.min(length / 2, LEAP_MATCH_LENGTH_GOOD));

  const running = [below, above].flatMap((side) => (side === undefined ? [] : [side.shift]));
  const known = probe(matching, whole, [...new Set([...running, ...plan.shifts])]);
  if (known !== undefined && lengthOf(known) >= lengthMin) {
    return { whole, run: known, searchedTo: undefined };
  }
  if (!plan.far) return { whole, run: undefined, searchedTo: undefined };
  const sure = Math.max(lengthMin, Math.min((3 * length) / 4, LEAP_MATCH_LENGTH_SURE));
  const wanted = { sure, good: lengthMin, places: KEY_PLACES, outer: OUTER };
  const direction: Direction = plan.direction;
  const { run, searchedTo } = searchFar(matching, whole, direction, plan.searchedTo, wanted);
  const isSure = run !== undefined && lengthOf(run) >= SHIFT_MATCH_LENGTH_MIN;
  return isSure ? { whole, run, searchedTo: undefined } : { whole, run: undefined, searchedTo };
}

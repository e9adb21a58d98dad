/**
 * The first WRITE of a mover, or one before which it has left out bytes: a message begins, mostly behind some that were
 * expunged. Not the nearest match counts here but the one that explains most of the data.
 */
import { searchFar, wantedOfMessage } from "./far.ts";
import { isSure, lengthOf, type Matching, type Run } from "./matching.ts";
import { type Neighbours, sideOfEdge, trustedSide } from "./neighbours.ts";
import type { Stretch } from "./near.ts";
import { probe, type SearchPlan } from "./stretches.ts";

export interface Leap {
  /** All of the data, and what is known on its sides. */
  readonly whole: Stretch;
  /** undefined: nothing explains so much of it that it may be trusted. */
  readonly run: Run | undefined;
  /** How far was searched in vain; undefined: nothing was. */
  readonly searchedTo: number | undefined;
}

export function searchLeap(matching: Matching, neighbours: Neighbours, plan: SearchPlan): Leap {
  const below = trustedSide(neighbours.below) ?? sideOfEdge(neighbours.below);
  const above = trustedSide(neighbours.above) ?? sideOfEdge(neighbours.above);
  const high = matching.data.length;
  const whole = { low: 0, high, below, above, sureBelow: below, sureAbove: above };
  const wanted = wantedOfMessage(high);

  const running = [below, above].flatMap((side) => (side === undefined ? [] : [side.shift]));
  const known = probe(matching, whole, [...new Set([...running, ...plan.shifts])]);
  if (known !== undefined && isSure(known) && lengthOf(known) >= wanted.good) {
    return { whole, run: known, searchedTo: undefined };
  }
  if (!plan.far) return { whole, run: undefined, searchedTo: undefined };
  const { direction, searchedTo: from } = plan;
  const { run, searchedTo } = searchFar(matching, whole, direction, from, wanted);
  if (run !== undefined && isSure(run)) return { whole, run, searchedTo: undefined };
  return { whole, run: undefined, searchedTo };
}

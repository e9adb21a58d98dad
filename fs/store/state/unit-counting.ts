/** How units' rows and their bytes are counted, live and while the index is made from a log with gaps. */
import { storedLength } from "../records/chunks.ts";
import { runsWithin } from "./references.ts";
import type { SegmentUse } from "./segment-use.ts";
import type { State } from "./state.ts";
import { Unit } from "./unit.ts";

/** Counts the bytes of a unit's frame for the segment that it stands in. */
export function countUnitBytes(state: State, unit: Pick<Unit, "segment" | "chunks">): SegmentUse {
  const stored = storedLength(unit.chunks);
  const use = state.segmentUse(unit.segment);
  state.touch(use);
  use.unitBytes += stored;
  state.counters.unitBytes += stored;
  return use;
}

/** The segment of a unit that is named by records of a log with gaps and is nowhere (any more). */
export const NOWHERE = 0;

/**
 * While the index is made from a log with gaps: the row on which references to the first `length` bytes of
 * a unit can be counted, whether it has them or not (rebuild-units.ts looks at it in the end).
 */
export function rowForCounting(state: State, id: number, length: number): Unit {
  let unit = state.unit(id);
  if (unit === undefined) {
    unit = new Unit(id, NOWHERE, 0, [], []);
    state.units.set(id, unit);
  }
  let counted = 0;
  for (let k = 0; k < unit.runs.length; k += 2) counted += unit.runs[k] as number;
  if (counted < length) {
    state.touch(unit);
    unit.runs = runsWithin(unit.runs, length);
  }
  return unit;
}

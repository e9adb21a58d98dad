/** Units while the index is made from a log with gaps (rebuild.ts). */
import { StoreError } from "../errors.ts";
import { stores } from "../records/chunks.ts";
import { placeOf } from "../records/place.ts";
import { removeUnit } from "../state/apply.ts";
import { isUnreferenced, referencedParts, runsWithin, unreferenced } from "../state/references.ts";
import type { State } from "../state/state.ts";
import { countUnitBytes, NOWHERE } from "../state/unit-counting.ts";
import type { Unit } from "../state/unit.ts";

/** A unit frame, in whatever order they come: the last one in the log says where the unit is. */
export function applyOldUnit(state: State, unit: Unit): void {
  countUnitBytes(state, unit);
  state.counters.nextUnit = Math.max(state.counters.nextUnit, unit.id + 1);
  const known = state.unit(unit.id);
  if (known === undefined) {
    state.touch(unit);
    state.units.set(unit.id, unit);
    state.counters.units++;
  } else if (placeOf(known.segment, known.position) < placeOf(unit.segment, unit.position)) {
    state.touch(known);
    known.runs = unreferenced(known.length);
    known.move(unit.segment, unit.position, unit.chunks);
  }
}

/** Whether a unit's row can stay as it is when all references are counted. */
export function isSettled(unit: Unit): boolean {
  const { runs } = unit;
  if (runs.length === 2) return runs[1] !== 0 && runs[0] === unit.length && isWhole(unit);
  return false;
}

function isWhole({ chunks, length }: Unit): boolean {
  return stores(chunks, 0, length);
}

/** All references are counted: a unit without any goes, and one whose bytes are not there is damage. */
export function settleUnit(state: State, id: number): void {
  const unit = state.unit(id);
  if (unit === undefined) return;
  const parts = referencedParts(unit.runs);
  if (parts.length === 0) {
    // One that is nowhere was never counted as a unit.
    if (unit.segment === NOWHERE) state.counters.units++;
    removeUnit(state, unit);
    return;
  }
  for (let k = 0; k < parts.length; k += 2) {
    const offset = parts[k] as number;
    if (stores(unit.chunks, offset, parts[k + 1] as number)) continue;
    throw new StoreError(
      "STORE_DAMAGED",
      `unit ${id} is referenced from byte ${offset} on, and the log does not have these bytes`,
    );
  }
  state.touch(unit);
  unit.runs = runsWithin(unit.runs, unit.length);
  if (isUnreferenced(unit.runs)) removeUnit(state, unit);
}

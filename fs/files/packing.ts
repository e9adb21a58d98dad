/**
 * The new bytes of one write, packed one behind the other into as few units as hold them, however many
 * pieces the write was cut into: a unit has a row of its own, a piece has none.
 */
import type { Extent } from "../store/records/change.ts";
import { UNIT_LENGTH_MAX } from "../store/records/format.ts";
import type { Store } from "../store/store.ts";

/**
 * Stores the pieces. The answer has the extents of each of them, in order; the ids of the new units are added to
 * `units`, also when this throws half-way.
 */
export function packPieces(store: Store, pieces: readonly Buffer[], units: number[]): Extent[][] {
  let parts: Buffer[] = [];
  let filled = 0;
  const written: number[] = [];
  const finish = (): void => {
    if (filled === 0) return;
    const unit = store.writeUnit(parts);
    units.push(unit);
    written.push(unit);
    parts = [];
    filled = 0;
  };
  for (const piece of pieces) {
    for (let at = 0; at < piece.length;) {
      const part = piece.subarray(at, at + UNIT_LENGTH_MAX - filled);
      parts.push(part);
      filled += part.length;
      at += part.length;
      if (filled === UNIT_LENGTH_MAX) finish();
    }
  }
  finish();
  let position = 0;
  return pieces.map((piece) => {
    const extents = extentsOf(written, position, piece.length);
    position += piece.length;
    return extents;
  });
}

/** A range of the units as if they were one: all of them but the last are full. */
function extentsOf(units: readonly number[], position: number, length: number): Extent[] {
  const extents: Extent[] = [];
  for (let at = position; at < position + length;) {
    const offset = at % UNIT_LENGTH_MAX;
    const taken = Math.min(position + length - at, UNIT_LENGTH_MAX - offset);
    const unit = units[Math.floor(at / UNIT_LENGTH_MAX)] ?? 0;
    extents.push({ unit, offset, length: taken });
    at += taken;
  }
  return extents;
}

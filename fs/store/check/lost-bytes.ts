/** What damage of the log takes from the units that are there, by what the index has of them. */
import type { LogDamage, ScannedLog } from "../log/log-scan.ts";
import type { SegmentFiles } from "../log/segment-files.ts";
import { findBadChunks, storedLength } from "../records/chunks.ts";
import type { State } from "../state/state.ts";
import type { Unit } from "../state/unit.ts";
import type { StoreInternals } from "../store.ts";
import type { Damage, LostBytes } from "./damage-report.ts";

export interface PlacedBytes extends LostBytes {
  readonly segment: number;
  /** In the segment. */
  readonly position: number;
}

/** Of a unit whose record is damaged: its bytes need not be, and the index has what is needed to read them. */
export function lostBytesOf(files: Pick<SegmentFiles, "list" | "read">, unit: Unit): PlacedBytes[] {
  const { id, segment, position, chunks } = unit;
  const data = Buffer.alloc(storedLength(chunks));
  const count = files.list().includes(segment)
    ? files.read(segment, position, data, 0, data.length)
    : 0;
  // What is missing cannot fit a checksum, unless it is that of zeros.
  data.fill(1, count);
  return findBadChunks(chunks, data, position).map((chunk) => ({ unit: id, segment, ...chunk }));
}

/** Segments of which files need bytes, and which are not there. */
export function withMissing(log: ScannedLog, { files, state }: StoreInternals): ScannedLog {
  const existing = new Set(files.list());
  const missing: LogDamage[] = [];
  for (const { segment, liveBytes } of state.segments.values()) {
    if (liveBytes === 0 || existing.has(segment)) continue;
    missing.push({ kind: "missing", segment, offset: 0, length: 0 });
  }
  return missing.length === 0 ? log : { ...log, damage: [...log.damage, ...missing] };
}

export function withLostBytes(
  state: State,
  damage: readonly LogDamage[],
  lost: readonly PlacedBytes[],
): Damage[] {
  return damage.map((found) => {
    const lostBytes: LostBytes[] = lost.filter((bytes) => isWithin(bytes, found));
    const { unit } = found;
    if (unit !== undefined) {
      const { segment, position } = state.unit(unit.id) ?? {};
      // Bytes of a unit that has moved, or that is gone, are nobody's.
      if (segment === found.segment && position === unit.position) {
        lostBytes.push({ unit: unit.id, offset: unit.offset, length: found.length });
      }
    }
    return { ...found, lostBytes };
  });
}

function isWithin({ segment, position, length }: PlacedBytes, found: LogDamage): boolean {
  if (segment !== found.segment || found.unit !== undefined) return false;
  if (found.kind === "missing" || found.kind === "misplaced") return true;
  return position < found.offset + found.length && position + length > found.offset;
}

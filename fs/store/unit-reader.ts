/**
 * Reads ranges of units from the log. A chunk is read and checked as a whole, so every byte that is
 * handed out was covered by a checksum.
 */
import { CHUNK_WIDTH } from "./chunks.ts";
import { CHUNK_LENGTH_MAX, crc32c } from "./format.ts";
import { StoreError } from "./errors.ts";
import type { SegmentFiles } from "./segment-files.ts";
import type { Unit } from "./unit.ts";

const scratch = Buffer.allocUnsafe(CHUNK_LENGTH_MAX);

/** Copies [offset, offset + length) of a unit to `target` at `at`. */
export function readUnit(
  files: SegmentFiles,
  unit: Unit,
  offset: number,
  length: number,
  target: Buffer,
  at: number,
): void {
  const end = offset + length;
  const { chunks } = unit;
  let position = unit.position;
  let done = offset;
  for (let k = 0; k < chunks.length && done < end; k += CHUNK_WIDTH) {
    const chunkStart = chunks[k] as number;
    const chunkLength = chunks[k + 1] as number;
    const checksum = chunks[k + 2] as number;
    const chunkEnd = chunkStart + chunkLength;
    if (chunkEnd > done) {
      if (chunkStart > done) throw missing(unit, done);
      const to = at + (done - offset);
      if (chunkStart === done && chunkEnd <= end) {
        readChunk(files, unit, chunkLength, checksum, position, target, to);
      } else {
        readChunk(files, unit, chunkLength, checksum, position, scratch, 0);
        scratch.copy(target, to, done - chunkStart, Math.min(end, chunkEnd) - chunkStart);
      }
      done = Math.min(end, chunkEnd);
    }
    position += chunkLength;
  }
  if (done < end) throw missing(unit, done);
}

function readChunk(
  files: SegmentFiles,
  unit: Unit,
  length: number,
  checksum: number,
  position: number,
  target: Buffer,
  at: number,
): void {
  const count = files.read(unit.segment, position, target, at, length);
  if (count !== length || crc32c(target.subarray(at, at + length)) !== checksum) {
    throw new StoreError(
      "STORE_DAMAGED",
      `unit ${unit.id}: the bytes of segment ${unit.segment} from ${position} on do not fit their checksum`,
    );
  }
}

function missing(unit: Unit, offset: number): StoreError {
  return new StoreError("STORE_DAMAGED", `unit ${unit.id} has no bytes at ${offset}`);
}

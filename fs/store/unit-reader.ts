/**
 * Reads ranges of units from the log. A chunk is read and checked as a whole, so every byte that is
 * handed out was covered by a checksum.
 */
import type { Chunk } from "./format.ts";
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
  for (let k = 0; k < chunks.length && done < end; k++) {
    const chunk = chunks[k] as Chunk;
    const chunkEnd = chunk.offset + chunk.length;
    if (chunkEnd > done) {
      if (chunk.offset > done) throw missing(unit, done);
      if (chunk.offset === done && chunkEnd <= end) {
        readChunk(files, unit, chunk, position, target, at + (done - offset));
      } else {
        readChunk(files, unit, chunk, position, scratch, 0);
        scratch.copy(
          target,
          at + (done - offset),
          done - chunk.offset,
          Math.min(end, chunkEnd) - chunk.offset,
        );
      }
      done = Math.min(end, chunkEnd);
    }
    position += chunk.length;
  }
  if (done < end) throw missing(unit, done);
}

function readChunk(
  files: SegmentFiles,
  unit: Unit,
  chunk: Chunk,
  position: number,
  target: Buffer,
  at: number,
): void {
  const count = files.read(unit.segment, position, target, at, chunk.length);
  if (count !== chunk.length || crc32c(target.subarray(at, at + chunk.length)) !== chunk.checksum) {
    throw new StoreError(
      "STORE_DAMAGED",
      `unit ${unit.id}: the bytes of segment ${unit.segment} from ${position} on do not fit their checksum`,
    );
  }
}

function missing(unit: Unit, offset: number): StoreError {
  return new StoreError("STORE_DAMAGED", `unit ${unit.id} has no bytes at ${offset}`);
}

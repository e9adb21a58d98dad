/**
 * Reads ranges of units from the log into one buffer. A chunk is read and checked as a whole, so every byte
 * that is handed out was covered by a checksum.
 *
 * Chunks that lie near each other in a segment are read by one pread, whatever their order: a message's
 * private and shared bytes stand side by side in the log, and the call costs more than the bytes between.
 */
import { StoreError } from "../errors.ts";
import type { SegmentFiles } from "../log/segment-files.ts";
import { CHUNK_WIDTH } from "../records/chunks.ts";
import { CHUNK_LENGTH_MAX, crc32c } from "../records/format.ts";
import { ChunkCache } from "./chunk-cache.ts";
import type { Unit } from "./unit.ts";

/** Bytes that are read for nothing rather than starting another pread. */
const GAP_MAX = 8 * 1024;
const SPAN_LENGTH_MAX = 4 * CHUNK_LENGTH_MAX;
/** Not less than a chunk. */
const CACHED_BYTES_MAX = 1 << 20;

export class UnitReader {
  readonly #files: SegmentFiles;
  readonly #scratch = Buffer.allocUnsafeSlow(SPAN_LENGTH_MAX);
  readonly #cache = new ChunkCache(CACHED_BYTES_MAX);
  #target: Buffer = this.#scratch;
  /** The span that is being gathered: chunks of one segment between two positions. */
  #segment = 0;
  #start = 0;
  #end = 0;
  /** For each chunk of it: unit, position, length, checksum, first byte wanted, how many, place in the target. */
  #wanted: number[] = [];

  constructor(files: SegmentFiles) {
    this.#files = files;
  }

  /** What add() asks for goes to this buffer. */
  begin(target: Buffer): void {
    this.#target = target;
    this.#wanted = [];
  }

  /** [offset, offset + length) of a unit, to `at` in the target; it is there after finish(). */
  add(unit: Unit, offset: number, length: number, at: number): void {
    this.#take(unit, offset, length, at, false);
  }

  /** The same at once, for bytes that will be looked at again: their chunks stay in memory for a while. */
  look(unit: Unit, offset: number, length: number, at: number): void {
    this.#take(unit, offset, length, at, true);
  }

  #take(unit: Unit, offset: number, length: number, at: number, isCached: boolean): void {
    const end = offset + length;
    const { chunks, segment } = unit;
    let { position } = unit;
    let done = offset;
    for (let k = 0; k < chunks.length && done < end; k += CHUNK_WIDTH) {
      const chunkStart = chunks[k] as number;
      const chunkLength = chunks[k + 1] as number;
      const chunkEnd = chunkStart + chunkLength;
      if (chunkEnd > done) {
        if (chunkStart > done) throw missing(unit, done);
        const from = done - chunkStart;
        const count = Math.min(end, chunkEnd) - done;
        const checksum = chunks[k + 2] as number;
        const to = at + (done - offset);
        if (isCached) {
          const chunk =
            this.#cache.get(segment, position, chunkLength) ??
            this.#readChunk(unit, position, chunkLength, checksum);
          chunk.copy(this.#target, to, from, from + count);
        } else {
          this.#extend(segment, position, chunkLength);
          this.#wanted.push(unit.id, position, chunkLength, checksum, from, count, to);
        }
        done += count;
      }
      position += chunkLength;
    }
    if (done < end) throw missing(unit, done);
  }

  #readChunk(unit: Unit, position: number, length: number, checksum: number): Buffer {
    const chunk = this.#cache.reserve(length);
    const count = this.#files.read(unit.segment, position, chunk, 0, length);
    if (count < length || crc32c(chunk) !== checksum) {
      throw damaged(unit.id, unit.segment, position);
    }
    this.#cache.keep(unit.segment, position, length);
    return chunk;
  }

  finish(): void {
    const wanted = this.#wanted;
    if (wanted.length === 0) return;
    this.#wanted = [];
    if (wanted.length === WIDTH && wanted[2] === wanted[5]) {
      const to = wanted[6] as number;
      this.#read(this.#target, to);
      this.#check(wanted, 0, this.#target, to);
      return;
    }
    this.#read(this.#scratch, 0);
    for (let k = 0; k < wanted.length; k += WIDTH) {
      const inSpan = (wanted[k + 1] as number) - this.#start;
      this.#check(wanted, k, this.#scratch, inSpan);
      const from = inSpan + (wanted[k + 4] as number);
      this.#scratch.copy(this.#target, wanted[k + 6], from, from + (wanted[k + 5] as number));
    }
  }

  /** Makes the span cover a chunk, or ends it and begins another one. */
  #extend(segment: number, position: number, length: number): void {
    if (this.#wanted.length > 0) {
      const start = Math.min(this.#start, position);
      const end = Math.max(this.#end, position + length);
      const gap = end - start - (this.#end - this.#start) - length;
      if (segment === this.#segment && gap <= GAP_MAX && end - start <= SPAN_LENGTH_MAX) {
        this.#start = start;
        this.#end = end;
        return;
      }
      this.finish();
    }
    this.#segment = segment;
    this.#start = position;
    this.#end = position + length;
  }

  #read(into: Buffer, at: number): void {
    const length = this.#end - this.#start;
    const count = this.#files.read(this.#segment, this.#start, into, at, length);
    // What is missing cannot fit its checksum; whatever stood in the buffer might.
    if (count < length) into.fill(0, at + count, at + length);
  }

  #check(wanted: readonly number[], k: number, bytes: Buffer, at: number): void {
    const length = wanted[k + 2] as number;
    if (crc32c(bytes.subarray(at, at + length)) === wanted[k + 3]) return;
    throw damaged(wanted[k] as number, this.#segment, wanted[k + 1] as number);
  }
}

/** Numbers for each wanted chunk. */
const WIDTH = 7;

function damaged(unit: number, segment: number, position: number): StoreError {
  return new StoreError(
    "STORE_DAMAGED",
    `unit ${unit}: the bytes of segment ${segment} from ${position} on do not fit their checksum`,
  );
}

function missing(unit: Unit, offset: number): StoreError {
  return new StoreError("STORE_DAMAGED", `unit ${unit.id} has no bytes at ${offset}`);
}

/**
 * The chunks of a unit: pieces with a checksum of their own, in order, that lie one behind the other in
 * the file. A gap between them is what cleaning left out because nobody referenced it.
 *
 * One flat list [offset in the unit, length, checksum, ...], because memory holds those of many units.
 */
import { assert } from "../../../base/assert.ts";
import type { ByteReader, ByteWriter } from "../../../base/bytes.ts";
import { CHUNK_LENGTH_MAX, crc32c, UNIT_LENGTH_MAX } from "./format.ts";

export type Chunks = readonly number[];

/** Numbers for each chunk. */
export const CHUNK_WIDTH = 3;

/** The chunks of bytes that are written whole; `lengths` add up to them. */
export function chunksOf(parts: readonly Uint8Array[], lengths: readonly number[]): Chunks {
  const chunks: number[] = [];
  let part = 0;
  let used = 0;
  let offset = 0;
  for (const length of lengths) {
    let checksum = 0;
    for (let left = length; left > 0;) {
      const bytes = parts[part] as Uint8Array;
      const piece = bytes.subarray(used, used + left);
      checksum = crc32c(piece, checksum);
      left -= piece.length;
      used += piece.length;
      if (used < bytes.length) continue;
      part++;
      used = 0;
    }
    chunks.push(offset, length, checksum);
    offset += length;
  }
  return chunks;
}

/** The lengths of a unit's chunks, checked: those that are given, then the longest possible. */
export function chunkLengthsOf(
  parts: readonly Uint8Array[],
  given: readonly number[] = [],
): number[] {
  let left = 0;
  for (const part of parts) left += part.length;
  assert(left > 0 && left <= UNIT_LENGTH_MAX, `a unit of ${left} bytes`);
  const lengths: number[] = [];
  for (let k = 0; left > 0; k++) {
    const length = Math.min(given[k] ?? CHUNK_LENGTH_MAX, left);
    assert(length > 0 && length <= CHUNK_LENGTH_MAX, `a chunk of ${length} bytes`);
    lengths.push(length);
    left -= length;
  }
  return lengths;
}

export function encodeChunks(out: ByteWriter, chunks: Chunks): void {
  out.varint(chunks.length / CHUNK_WIDTH);
  let end = 0;
  for (let k = 0; k < chunks.length; k += CHUNK_WIDTH) {
    const offset = chunks[k] as number;
    const length = chunks[k + 1] as number;
    out.varint(offset - end);
    out.varint(length);
    out.u32(chunks[k + 2] as number);
    end = offset + length;
  }
}

export function decodeChunks(from: ByteReader): Chunks {
  const chunks: number[] = [];
  let end = 0;
  for (let left = from.varint(); left > 0; left--) {
    const offset = end + from.varint();
    const length = from.varint();
    chunks.push(offset, length, from.u32());
    end = offset + length;
  }
  return chunks;
}

/** Where the last chunk ends: the unit's length. */
export function endOf(chunks: Chunks): number {
  const last = chunks.length - CHUNK_WIDTH;
  return last < 0 ? 0 : (chunks[last] as number) + (chunks[last + 1] as number);
}

/** Bytes that are stored, without the gaps. */
export function storedLength(chunks: Chunks): number {
  let length = 0;
  for (let k = 1; k < chunks.length; k += CHUNK_WIDTH) length += chunks[k] as number;
  return length;
}

/** Whether all bytes of a range are stored. */
export function stores(chunks: Chunks, offset: number, length: number): boolean {
  const end = offset + length;
  let done = offset;
  for (let k = 0; k < chunks.length && done < end; k += CHUNK_WIDTH) {
    const start = chunks[k] as number;
    if (start > done) return false;
    done = Math.max(done, start + (chunks[k + 1] as number));
  }
  return done >= end;
}

/** Bytes of a unit that do not fit their checksum. */
export interface BadChunk {
  /** In the unit. */
  readonly offset: number;
  readonly length: number;
  /** In the segment. */
  readonly position: number;
}

const NONE: readonly BadChunk[] = [];

/** `data` are the stored bytes, all of them, which stand at `position` of the segment. */
export function findBadChunks(chunks: Chunks, data: Buffer, position: number): readonly BadChunk[] {
  let found: BadChunk[] | undefined;
  let at = 0;
  for (let k = 0; k < chunks.length; k += CHUNK_WIDTH) {
    const length = chunks[k + 1] as number;
    if (crc32c(data.subarray(at, at + length)) !== chunks[k + 2]) {
      found ??= [];
      found.push({ offset: chunks[k] as number, length, position: position + at });
    }
    at += length;
  }
  return found ?? NONE;
}

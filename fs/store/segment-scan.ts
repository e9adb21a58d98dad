/**
 * Finds everything in a segment that is whole, and everything that is not: behind a bad frame it looks for
 * the next whole one. Pure: it is given the segment's bytes.
 *
 * A unit with a bad chunk is a whole frame with a bad chunk: its other chunks can be read.
 * Not here: what a start does with a bad frame (recovery.ts), which files it touches (damage-report.ts).
 */
import { MalformedError } from "../../base/bytes.ts";
import type { Chunks } from "./chunks.ts";
import { CHUNK_WIDTH, storedLength } from "./chunks.ts";
import {
  crc32c,
  decodeFrameHeader,
  decodeSegmentHeader,
  FORMAT_VERSION,
  FRAME_COMMIT,
  FRAME_HEADER_LENGTH,
  FRAME_META_LENGTH_MAX,
  FRAME_UNIT,
  frameChecksum,
  SEGMENT_HEADER_LENGTH,
  UNIT_LENGTH_MAX,
} from "./format.ts";
import type { UnitMeta } from "./unit-meta.ts";
import { decodeUnitMeta } from "./unit-meta.ts";

/** Bytes of a unit that do not fit their checksum. */
export interface BadChunk {
  /** In the unit. */
  readonly offset: number;
  readonly length: number;
  /** In the segment. */
  readonly position: number;
}

export type ScannedFrame =
  | {
      readonly kind: "unit";
      readonly offset: number;
      readonly unit: UnitMeta;
      readonly data: Buffer;
      /** Where the data stands in the segment. */
      readonly position: number;
      readonly badChunks: readonly BadChunk[];
    }
  | { readonly kind: "commit"; readonly offset: number; readonly meta: Buffer };

/** Bytes that belong to no whole frame although whole ones follow, or ought to. */
export interface BadRange {
  readonly offset: number;
  readonly length: number;
}

export interface SegmentScan {
  readonly header: "whole" | "bad" | "newer";
  /** Behind the last whole frame. */
  readonly end: number;
  readonly bad: readonly BadRange[];
  /** What stands behind the last whole frame: in the last segment the tail that a crash left, else damage. */
  readonly tail: "none" | "zeros" | "torn";
}

/**
 * `bytes` begin with the segment's header. The frames' buffers are views of them. In the last segment a bad frame without
 * a whole commit behind it is the tail that a crash left; in an earlier one it is damage in any case.
 */
export function scanSegment(
  bytes: Buffer,
  segment: number,
  isLast: boolean,
  visit: (frame: ScannedFrame) => void,
): SegmentScan {
  const header = scanHeader(bytes, segment);
  const bad: BadRange[] = [];
  let at = Math.min(SEGMENT_HEADER_LENGTH, bytes.length);
  for (;;) {
    if (at === bytes.length) return { header, end: at, bad, tail: "none" };
    const length = wholeFrame(bytes, at);
    if (length !== undefined && visitFrame(bytes, at, visit)) {
      at += length;
      continue;
    }
    if (isZeroFrom(bytes, at)) return { header, end: at, bad, tail: "zeros" };
    const next = nextWholeFrame(bytes, at);
    if (next === undefined || (isLast && !hasCommit(bytes, next))) {
      return { header, end: at, bad, tail: "torn" };
    }
    bad.push({ offset: at, length: next - at });
    at = next;
  }
}

function scanHeader(bytes: Buffer, segment: number): SegmentScan["header"] {
  const header = decodeSegmentHeader(bytes);
  if (header === undefined || header.segment !== segment) return "bad";
  return header.version > FORMAT_VERSION ? "newer" : "whole";
}

/** The length of the frame that begins here; undefined when its header or meta is not whole or its data is cut off. */
function wholeFrame(bytes: Buffer, at: number): number | undefined {
  const claimed = claimedLength(bytes, at);
  if (claimed === undefined) return undefined;
  const { checksum, metaLength } = decodeFrameHeader(bytes, at);
  return frameChecksum(bytes, at, metaLength) === checksum ? claimed : undefined;
}

/** What a frame header says, if it can be true. */
function claimedLength(bytes: Buffer, at: number): number | undefined {
  if (at + FRAME_HEADER_LENGTH > bytes.length) return undefined;
  const { kind, metaLength, dataLength } = decodeFrameHeader(bytes, at);
  if (kind !== FRAME_UNIT && kind !== FRAME_COMMIT) return undefined;
  if (metaLength > FRAME_META_LENGTH_MAX) return undefined;
  if (dataLength > (kind === FRAME_UNIT ? UNIT_LENGTH_MAX : 0)) return undefined;
  const length = FRAME_HEADER_LENGTH + metaLength + dataLength;
  return at + length <= bytes.length ? length : undefined;
}

/** False when the frame is whole and yet no frame of ours. */
function visitFrame(bytes: Buffer, at: number, visit: (frame: ScannedFrame) => void): boolean {
  const { kind, metaLength, dataLength } = decodeFrameHeader(bytes, at);
  const position = at + FRAME_HEADER_LENGTH + metaLength;
  const meta = bytes.subarray(at + FRAME_HEADER_LENGTH, position);
  if (kind === FRAME_COMMIT) {
    visit({ kind: "commit", offset: at, meta });
    return true;
  }
  let unit: UnitMeta;
  try {
    unit = decodeUnitMeta(meta);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    return false;
  }
  if (storedLength(unit.chunks) !== dataLength) return false;
  const data = bytes.subarray(position, position + dataLength);
  const badChunks = findBadChunks(unit.chunks, data, position);
  visit({ kind: "unit", offset: at, unit, data, position, badChunks });
  return true;
}

const NONE: readonly BadChunk[] = [];

/** `data` are the stored bytes, which stand at `position` of the segment. */
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

/**
 * Where the next frame begins behind a bad one. Where the bad one says it ends comes first: what looks like
 * a frame inside of its data may be a mail that somebody wrote to look so.
 */
function nextWholeFrame(bytes: Buffer, bad: number): number | undefined {
  const claimed = claimedLength(bytes, bad);
  if (claimed !== undefined && wholeFrame(bytes, bad + claimed) !== undefined) return bad + claimed;
  for (let at = bad + 1; at + FRAME_HEADER_LENGTH <= bytes.length; at++) {
    // Cheaper than decoding a header at each byte.
    const kind = bytes[at + 12];
    if ((kind !== FRAME_UNIT && kind !== FRAME_COMMIT) || bytes[at + 13] !== 0) continue;
    if (wholeFrame(bytes, at) !== undefined) return at;
  }
  return undefined;
}

function hasCommit(bytes: Buffer, from: number): boolean {
  let at: number | undefined = from;
  while (at !== undefined) {
    const length = wholeFrame(bytes, at);
    if (length === undefined) at = nextWholeFrame(bytes, at);
    else if (decodeFrameHeader(bytes, at).kind === FRAME_COMMIT) return true;
    else at += length;
  }
  return false;
}

const ZEROS = Buffer.alloc(64 * 1024);

function isZeroFrom(bytes: Buffer, start: number): boolean {
  for (let at = start; at < bytes.length; at += ZEROS.length) {
    const piece = bytes.subarray(at, at + ZEROS.length);
    if (!piece.equals(ZEROS.subarray(0, piece.length))) return false;
  }
  return true;
}

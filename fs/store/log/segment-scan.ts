/**
 * Finds everything in a segment that is whole, and everything that is not: behind a bad frame it looks for
 * the next whole one. Pure: it is given the segment's bytes.
 *
 * A unit with a bad chunk is a whole frame with a bad chunk: its other chunks can be read.
 * Not here: what a start does with a bad frame (recovery.ts), which files it touches (check/damage-report.ts).
 */
import type { BadChunk } from "../records/chunks.ts";
import { findBadChunks } from "../records/chunks.ts";
import {
  decodeSegmentHeader,
  FORMAT_VERSION,
  FRAME_COMMIT,
  FRAME_HEADER_LENGTH,
  FRAME_UNIT,
  SEGMENT_HEADER_LENGTH,
} from "../records/format.ts";
import type { CommitFrame, UnitFrame } from "./frame.ts";
import { claimedEnd, dataOf, readFrame } from "./frame.ts";
import type { SegmentWindow } from "./segment-window.ts";
import { isZeroFrom, wholeSegment } from "./segment-window.ts";

export interface ScannedUnit extends UnitFrame {
  readonly badChunks: readonly BadChunk[];
}

export type ScannedFrame = ScannedUnit | CommitFrame;

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
  /** So much of the segment was on stable storage, as its commits say: what is bad in that is damage. */
  readonly durableEnd: number;
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
  const window = wholeSegment(bytes);
  const bad: BadRange[] = [];
  let at = Math.min(SEGMENT_HEADER_LENGTH, bytes.length);
  let durableEnd = 0;
  while (at < bytes.length) {
    const frame = readFrame(window, at);
    if (frame.kind !== "bad") {
      if (frame.kind === "commit") durableEnd = Math.max(durableEnd, frame.durableEnd);
      visit(frame.kind === "unit" ? withBadChunks(window, frame) : frame);
      at = frame.end;
      continue;
    }
    if (isZeroFrom(window, at)) return { header, end: at, bad, tail: "zeros", durableEnd };
    const next = nextWholeFrame(window, at);
    if (next === undefined || (isLast && !hasCommit(window, next))) {
      return { header, end: at, bad, tail: "torn", durableEnd };
    }
    bad.push({ offset: at, length: next - at });
    at = next;
  }
  return { header, end: at, bad, tail: "none", durableEnd };
}

function scanHeader(bytes: Buffer, segment: number): SegmentScan["header"] {
  const header = decodeSegmentHeader(bytes);
  if (header === undefined || header.segment !== segment) return "bad";
  return header.version > FORMAT_VERSION ? "newer" : "whole";
}

function withBadChunks(window: SegmentWindow, frame: UnitFrame): ScannedUnit {
  const { offset, unit, position, dataLength, end } = frame;
  const data = dataOf(window, frame) as Buffer;
  const badChunks = findBadChunks(unit.chunks, data, position);
  return { kind: "unit", offset, unit, position, dataLength, end, badChunks };
}

/**
 * Where the next frame begins behind a bad one. Where the bad one says it ends comes first: what looks like
 * a frame inside of its data may be a mail that somebody wrote to look so.
 */
function nextWholeFrame(window: SegmentWindow, bad: number): number | undefined {
  const { bytes } = window;
  const claimed = claimedEnd(window, bad);
  if (claimed !== undefined && isWhole(window, claimed)) return claimed;
  for (let at = bad + 1; at + FRAME_HEADER_LENGTH <= bytes.length; at++) {
    // Cheaper than decoding a header at each byte.
    const kind = bytes[at + 12];
    if ((kind !== FRAME_UNIT && kind !== FRAME_COMMIT) || bytes[at + 13] !== 0) continue;
    if (isWhole(window, at)) return at;
  }
  return undefined;
}

function isWhole(window: SegmentWindow, offset: number): boolean {
  return readFrame(window, offset).kind !== "bad";
}

function hasCommit(window: SegmentWindow, from: number | undefined): boolean {
  let at = from;
  while (at !== undefined) {
    const frame = readFrame(window, at);
    if (frame.kind === "commit") return true;
    at = frame.kind === "bad" ? nextWholeFrame(window, at) : frame.end;
  }
  return false;
}

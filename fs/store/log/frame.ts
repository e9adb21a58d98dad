/**
 * The one reader of frames: whether a whole one begins at an offset of a segment, of which kind it is and where it
 * ends. What to do about one that is not whole is known by those who read: recovery.ts and rebuild.ts through
 * segment-reader.ts, fsck, salvage and backup through segment-scan.ts, cleaning through reclaim/frame-cursor.ts.
 *
 * A unit's data is not looked at: its checksums stand in the meta (chunks.ts), so a unit whose data is damaged is a
 * whole frame all the same.
 */
import { MalformedError } from "../../../base/bytes.ts";
import { storedLength } from "../records/chunks.ts";
import type { FrameHeader } from "../records/format.ts";
import {
  decodeFrameHeader,
  FRAME_COMMIT,
  FRAME_HEADER_LENGTH,
  FRAME_META_LENGTH_MAX,
  FRAME_UNIT,
  frameChecksum,
  UNIT_LENGTH_MAX,
} from "../records/format.ts";
import type { UnitMeta } from "../records/unit-meta.ts";
import { decodeUnitMeta } from "../records/unit-meta.ts";
import type { SegmentWindow } from "./segment-window.ts";

export interface UnitFrame {
  readonly kind: "unit";
  /** Of the frame, in the segment. */
  readonly offset: number;
  readonly unit: UnitMeta;
  /** Of the data, in the segment. */
  readonly position: number;
  readonly dataLength: number;
  /** Where the next frame begins. */
  readonly end: number;
}

export interface CommitFrame {
  readonly kind: "commit";
  readonly offset: number;
  /** The changes, not decoded; a view of the window. */
  readonly meta: Buffer;
  /**
   * So much of the segment was on stable storage when the commit was written: a frame that is not whole and begins before
   * that is damage, not what a crash left. 0: not known, as where a commit has come from another segment.
   */
  readonly durableEnd: number;
  readonly end: number;
}

export type Frame = UnitFrame | CommitFrame;

export interface BadFrame {
  readonly kind: "bad";
  /**
   * torn: the bytes are not those of a frame, as where a crash ended the log; malformed, unknown: they are, and no
   * program of this format wrote them.
   */
  readonly fault: "torn" | "malformed" | "unknown";
  /** For people. */
  readonly what: string;
}

const CUT_OFF_HEADER = bad("torn", "a cut-off frame header");
const IMPOSSIBLE_LENGTH = bad("torn", "an impossible frame length");
const CUT_OFF = bad("torn", "a cut-off frame");
const WRONG_CHECKSUM = bad("torn", "a frame whose checksum does not fit");
const MALFORMED_UNIT = bad("malformed", "a unit whose record contradicts itself");

export function readFrame(window: SegmentWindow, offset: number): Frame | BadFrame {
  if (!window.reach(offset, FRAME_HEADER_LENGTH)) return CUT_OFF_HEADER;
  const header = decodeFrameHeader(window.bytes, offset - window.start);
  const { kind, metaLength, dataLength } = header;
  if (!isPossible(header)) return IMPOSSIBLE_LENGTH;
  const headLength = FRAME_HEADER_LENGTH + metaLength;
  const position = offset + headLength;
  const end = position + dataLength;
  if (end > window.length || !window.reach(offset, headLength)) return CUT_OFF;
  const start = offset - window.start;
  if (frameChecksum(window.bytes, start, metaLength) !== header.checksum) return WRONG_CHECKSUM;
  const meta = window.bytes.subarray(start + FRAME_HEADER_LENGTH, start + headLength);
  if (kind === FRAME_COMMIT) {
    const durableEnd = header.durableEnd > offset ? 0 : header.durableEnd;
    return { kind: "commit", offset, meta, durableEnd, end };
  }
  if (kind !== FRAME_UNIT) return bad("unknown", `a frame of kind ${kind}`);
  const unit = unitOf(meta);
  if (unit === undefined || storedLength(unit.chunks) !== dataLength) return MALFORMED_UNIT;
  return { kind: "unit", offset, unit, position, dataLength, end };
}

/** The stored bytes of a unit, a view of the window; undefined when the file has become shorter meanwhile. */
export function dataOf(window: SegmentWindow, frame: UnitFrame): Buffer | undefined {
  const { position, dataLength } = frame;
  if (!window.reach(position, dataLength)) return undefined;
  const start = position - window.start;
  return window.bytes.subarray(start, start + dataLength);
}

/** Where a frame ends by what its header says, which need not be true; undefined when it cannot be. */
export function claimedEnd(window: SegmentWindow, offset: number): number | undefined {
  if (!window.reach(offset, FRAME_HEADER_LENGTH)) return undefined;
  const header = decodeFrameHeader(window.bytes, offset - window.start);
  if (!isKnown(header.kind) || !isPossible(header)) return undefined;
  const end = offset + FRAME_HEADER_LENGTH + header.metaLength + header.dataLength;
  return end <= window.length ? end : undefined;
}

function isKnown(kind: number): boolean {
  return kind === FRAME_UNIT || kind === FRAME_COMMIT;
}

function isPossible({ metaLength, dataLength }: FrameHeader): boolean {
  return metaLength <= FRAME_META_LENGTH_MAX && dataLength <= UNIT_LENGTH_MAX;
}

function unitOf(meta: Buffer): UnitMeta | undefined {
  try {
    return decodeUnitMeta(meta);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    return undefined;
  }
}

function bad(fault: BadFrame["fault"], what: string): BadFrame {
  return { kind: "bad", fault, what };
}

/**
 * Reads the frames of a segment in order, as far as they are whole: what comes behind the first one that is not
 * was written later, so in the last segment it is the torn tail of a crash, in an earlier one damage.
 */
import { StoreError } from "../errors.ts";
import { findBadChunks } from "../records/chunks.ts";
import { decodeSegmentHeader, FORMAT_VERSION, SEGMENT_HEADER_LENGTH } from "../records/format.ts";
import type { BadFrame, Frame, UnitFrame } from "./frame.ts";
import { dataOf, readFrame } from "./frame.ts";
import type { SegmentFiles } from "./segment-files.ts";
import { scanSegment } from "./segment-scan.ts";
import type { SegmentWindow } from "./segment-window.ts";
import { FileWindow, isZeroFrom } from "./segment-window.ts";

const READ_LENGTH = 4 * 1024 * 1024;

export interface ReadEnd {
  /** Behind the last whole frame. */
  readonly offset: number;
  /** Why the reading ended before the end of the file; undefined at its end, and when `isEnough` ended it. */
  readonly torn: string | undefined;
  /** `isEnough` ended it: there may be more. */
  readonly isPart: boolean;
}

export interface ReadOptions {
  /** Whether the checksums of units are checked too. */
  readonly checkData?: boolean;
  /** Asked behind each frame: true ends the reading there. */
  readonly isEnough?: () => boolean;
}

/** Throws STORE_FORMAT for a newer format; returns whether the segment has its header. */
export function checkSegmentHeader(files: SegmentFiles, segment: number): boolean {
  const bytes = Buffer.alloc(SEGMENT_HEADER_LENGTH);
  files.read(segment, 0, bytes, 0, SEGMENT_HEADER_LENGTH);
  const header = decodeSegmentHeader(bytes);
  if (header === undefined) return false;
  if (header.version > FORMAT_VERSION) {
    throw new StoreError(
      "STORE_FORMAT",
      `segment ${segment} has format ${header.version}; this program knows up to ${FORMAT_VERSION}`,
    );
  }
  return header.segment === segment;
}

/**
 * Calls `visit` for each frame from `offset` on. Buffers are valid only during the call. Throws StoreError for a
 * frame that fits its checksum and is none of this format: no crash leaves that.
 */
export function readFrames(
  files: Pick<SegmentFiles, "length" | "read">,
  segment: number,
  offset: number,
  visit: (frame: Frame) => void,
  { checkData = true, isEnough = () => false }: ReadOptions = {},
): ReadEnd {
  const window = new FileWindow(files, segment, READ_LENGTH);
  let at = offset;
  while (at < window.length) {
    const frame = readFrame(window, at);
    if (frame.kind === "bad") return endAt(window, segment, at, frame);
    if (checkData && frame.kind === "unit" && !isDataWhole(window, frame)) {
      const torn = `unit ${frame.unit.id} with bytes whose checksum does not fit at offset ${at}`;
      return { offset: at, torn, isPart: false };
    }
    visit(frame);
    at = frame.end;
    if (isEnough()) return { offset: at, torn: undefined, isPart: true };
  }
  return { offset: at, torn: undefined, isPart: false };
}

function endAt(window: SegmentWindow, segment: number, at: number, frame: BadFrame): ReadEnd {
  // Written ahead behind the last frame of the last segment.
  if (isZeroFrom(window, at)) return { offset: at, torn: undefined, isPart: false };
  const { fault, what } = frame;
  if (fault === "torn") return { offset: at, torn: `${what} at offset ${at}`, isPart: false };
  throw fault === "unknown"
    ? new StoreError("STORE_FORMAT", `segment ${segment} has ${what}`)
    : new StoreError("STORE_DAMAGED", `segment ${segment}: ${what} at offset ${at}`);
}

function isDataWhole(window: SegmentWindow, frame: UnitFrame): boolean {
  const data = dataOf(window, frame);
  return data !== undefined && findBadChunks(frame.unit.chunks, data, 0).length === 0;
}

/**
 * What a bad frame of the last segment is. A crash leaves one, and whole frames behind it as well when the disk wrote
 * later blocks first; but never where a later commit says that the segment was on stable storage already.
 */
export interface BadEnd {
  readonly isDamage: boolean;
  /** Whether whole commits stand behind it. */
  readonly commitFollows: boolean;
}

export function badEndAt(files: SegmentFiles, segment: number, offset: number): BadEnd {
  const bytes = Buffer.allocUnsafeSlow(files.length(segment));
  const count = files.read(segment, 0, bytes, 0, bytes.length);
  let commitFollows = false;
  const { durableEnd } = scanSegment(bytes.subarray(0, count), segment, true, (frame) => {
    if (frame.kind === "commit" && frame.offset > offset) commitFollows = true;
  });
  return { isDamage: offset < durableEnd, commitFollows };
}

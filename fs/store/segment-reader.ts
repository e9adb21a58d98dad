/**
 * Reads the frames of a segment in order. A frame that is cut off or whose checksum does not fit ends
 * the reading: in the last segment that is the torn tail of a crash, in an earlier one it is damage.
 */
import { chunksFit } from "./chunks.ts";
import {
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
import { StoreError } from "./errors.ts";
import type { SegmentFiles } from "./segment-files.ts";
import type { UnitMeta } from "./unit-meta.ts";
import { decodeUnitMeta } from "./unit-meta.ts";

const ZEROS_AT_ONCE = 64 * 1024;
const ZEROS = Buffer.alloc(ZEROS_AT_ONCE);
const WINDOW_LENGTH = 4 * 1024 * 1024;

export type Frame =
  | {
      readonly kind: "unit";
      readonly offset: number;
      readonly unit: UnitMeta;
      readonly data: Buffer;
      /** Where the data stands in the segment. */
      readonly position: number;
    }
  | { readonly kind: "commit"; readonly offset: number; readonly meta: Buffer };

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

/** Calls `visit` for each frame from `offset` on. Buffers are valid only during the call. */
export function readFrames(
  files: Pick<SegmentFiles, "length" | "read">,
  segment: number,
  offset: number,
  visit: (frame: Frame) => void,
  { checkData = true, isEnough = () => false }: ReadOptions = {},
): ReadEnd {
  const length = files.length(segment);
  let window: Buffer = Buffer.alloc(0);
  let windowStart = offset;
  let at = offset;

  const have = (count: number): boolean => {
    if (at + count > length) return false;
    if (at + count <= windowStart + window.length) return true;
    const size = Math.min(Math.max(count, WINDOW_LENGTH), length - at);
    const fresh = Buffer.allocUnsafe(size);
    const kept = Math.max(0, windowStart + window.length - at);
    if (kept > 0) window.copy(fresh, 0, at - windowStart);
    const read = files.read(segment, at + kept, fresh, kept, size - kept);
    window = fresh.subarray(0, kept + read);
    windowStart = at;
    return window.length >= count;
  };
  /** Zeros behind the last frame of the last segment were written ahead. */
  const onlyZerosLeft = (): boolean => {
    const from = at;
    let zeros = true;
    while (zeros && at < length && have(Math.min(ZEROS_AT_ONCE, length - at))) {
      const end = Math.min(at + ZEROS_AT_ONCE, length);
      zeros = isZero(window.subarray(at - windowStart, end - windowStart));
      at = end;
    }
    // Further reading starts over with a window that begins here.
    at = from;
    window = Buffer.alloc(0);
    windowStart = from;
    return zeros;
  };
  const torn = (why: string): ReadEnd => ({
    offset: at,
    torn: `${why} at offset ${at}`,
    isPart: false,
  });

  while (at < length) {
    if (!have(FRAME_HEADER_LENGTH)) {
      if (onlyZerosLeft()) return { offset: at, torn: undefined, isPart: false };
      return torn("a cut-off frame header");
    }
    const header = decodeFrameHeader(window, at - windowStart);
    if (header.kind === 0 && onlyZerosLeft()) return { offset: at, torn: undefined, isPart: false };
    if (header.metaLength > FRAME_META_LENGTH_MAX || header.dataLength > UNIT_LENGTH_MAX) {
      return torn("an impossible frame length");
    }
    const headLength = FRAME_HEADER_LENGTH + header.metaLength;
    if (!have(headLength + header.dataLength)) return torn("a cut-off frame");
    const start = at - windowStart;
    if (frameChecksum(window, start, header.metaLength) !== header.checksum) {
      return torn("a frame whose checksum does not fit");
    }
    const meta = window.subarray(start + FRAME_HEADER_LENGTH, start + headLength);
    if (header.kind === FRAME_COMMIT) {
      visit({ kind: "commit", offset: at, meta });
    } else if (header.kind === FRAME_UNIT) {
      const unit = decodeUnitMeta(meta);
      const data = window.subarray(start + headLength, start + headLength + header.dataLength);
      if (checkData && !chunksFit(unit.chunks, data)) {
        return torn(`unit ${unit.id} with bytes whose checksum does not fit`);
      }
      visit({ kind: "unit", offset: at, unit, data, position: at + headLength });
    } else {
      throw new StoreError("STORE_FORMAT", `segment ${segment} has a frame of kind ${header.kind}`);
    }
    at += headLength + header.dataLength;
    if (isEnough()) return { offset: at, torn: undefined, isPart: true };
  }
  return { offset: at, torn: undefined, isPart: false };
}

function isZero(bytes: Buffer): boolean {
  return bytes.equals(ZEROS.subarray(0, bytes.length));
}

/**
 * Whether a whole commit stands somewhere behind a bad frame. A crash can leave that too, when the disk wrote
 * later blocks first, but so does damage: then what follows was acknowledged.
 */
export function commitFollows(files: SegmentFiles, segment: number, offset: number): boolean {
  const bytes = Buffer.alloc(files.length(segment) - offset);
  files.read(segment, offset, bytes, 0, bytes.length);
  const kind = Buffer.from([FRAME_COMMIT, 0, 0, 0]);
  const kindAt = 12;
  let at = bytes.indexOf(kind, 1 + kindAt);
  for (; at >= 0; at = bytes.indexOf(kind, at + 1)) {
    const start = at - kindAt;
    if (start + FRAME_HEADER_LENGTH > bytes.length) return false;
    const { metaLength, dataLength, checksum } = decodeFrameHeader(bytes, start);
    if (dataLength !== 0 || start + FRAME_HEADER_LENGTH + metaLength > bytes.length) continue;
    if (frameChecksum(bytes, start, metaLength) === checksum) return true;
  }
  return false;
}

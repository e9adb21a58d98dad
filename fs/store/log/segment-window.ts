/**
 * The bytes of a segment, of which a reader of frames holds a stretch: all of them, or what was read of the file
 * last. What stands in the bytes is not known here (frame.ts).
 */
import type { SegmentFiles } from "./segment-files.ts";

const NOTHING = Buffer.alloc(0);
const ZEROS = Buffer.alloc(64 * 1024);

export interface SegmentWindow {
  /** Of the segment. */
  readonly length: number;
  /** The stretch that is held; valid until the next call of `reach`. */
  readonly bytes: Buffer;
  /** Where in the segment it begins. */
  readonly start: number;
  /** Sees to it that a range is held. False when the segment ends before the range does. */
  reach(offset: number, count: number): boolean;
}

/** A segment that is in memory from its first byte to its last. */
export function wholeSegment(bytes: Buffer): SegmentWindow {
  const { length } = bytes;
  return { length, bytes, start: 0, reach: (offset, count) => offset + count <= length };
}

export class FileWindow implements SegmentWindow {
  readonly length: number;
  bytes: Buffer = NOTHING;
  start = 0;
  readonly #files: Pick<SegmentFiles, "read">;
  readonly #segment: number;
  readonly #readLength: number;
  #buffer: Buffer = NOTHING;

  /** Reads about `readLength` bytes at once. */
  constructor(files: Pick<SegmentFiles, "length" | "read">, segment: number, readLength: number) {
    this.length = files.length(segment);
    this.#files = files;
    this.#segment = segment;
    this.#readLength = readLength;
  }

  reach(offset: number, count: number): boolean {
    const end = offset + count;
    if (end > this.length) return false;
    const heldEnd = this.start + this.bytes.length;
    if (offset >= this.start && end <= heldEnd) return true;
    const size = Math.min(Math.max(count, this.#readLength), this.length - offset);
    const target = size > this.#buffer.length ? Buffer.allocUnsafeSlow(size) : this.#buffer;
    const kept = offset < this.start ? 0 : Math.max(0, heldEnd - offset);
    if (kept > 0) this.bytes.copy(target, 0, offset - this.start);
    this.#buffer = target;
    // A read that throws leaves nothing of which this could be said to be the content.
    this.bytes = NOTHING;
    const read = this.#files.read(this.#segment, offset + kept, target, kept, size - kept);
    this.bytes = target.subarray(0, kept + read);
    this.start = offset;
    return this.bytes.length >= count;
  }
}

/** Whether nothing but zeros stands from an offset to the segment's end. */
export function isZeroFrom(window: SegmentWindow, offset: number): boolean {
  for (let at = offset; at < window.length; at += ZEROS.length) {
    const count = Math.min(ZEROS.length, window.length - at);
    // The file was cut off meanwhile: what is gone is as good as zeros.
    if (!window.reach(at, count)) return true;
    const from = at - window.start;
    if (!window.bytes.subarray(from, from + count).equals(ZEROS.subarray(0, count))) return false;
  }
  return true;
}

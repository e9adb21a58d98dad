/**
 * Reads the frames of a segment that gets no more of them, one at a time, so that others get their turn in
 * between. The data of a unit is read only if it is asked for.
 */
import type { Change } from "../change.ts";
import { StoreError } from "../errors.ts";
import {
  decodeFrameHeader,
  FRAME_COMMIT,
  FRAME_HEADER_LENGTH,
  FRAME_META_LENGTH_MAX,
  FRAME_UNIT,
  frameChecksum,
  SEGMENT_HEADER_LENGTH,
  UNIT_LENGTH_MAX,
} from "../format.ts";
import { changesOf } from "../recovery.ts";
import type { SegmentFiles } from "../segment-files.ts";
import { decodeUnitMeta } from "../unit-meta.ts";
import { readingSegment } from "./unreadable.ts";

/** Of what is read at once: a unit whose data is not asked for is passed over. */
const WINDOW_LENGTH = 64 * 1024;

export type ScannedFrame =
  | {
      readonly kind: "unit";
      readonly id: number;
      /** Where the data stands. */
      readonly position: number;
      readonly dataLength: number;
    }
  | { readonly kind: "commit"; readonly offset: number; readonly changes: readonly Change[] };

export class SegmentScan {
  readonly segment: number;
  readonly length: number;
  readonly #files: SegmentFiles;
  readonly #scratch = Buffer.allocUnsafeSlow(WINDOW_LENGTH);
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;
  #at = SEGMENT_HEADER_LENGTH;

  /** Throws STORE_DAMAGED. */
  constructor(files: SegmentFiles, segment: number) {
    this.#files = files;
    this.segment = segment;
    this.length = readingSegment(() => files.length(segment));
  }

  /** Where the next frame begins. */
  get offset(): number {
    return this.#at;
  }

  /** Undefined at the segment's end. Throws STORE_DAMAGED. */
  next(): ScannedFrame | undefined {
    const offset = this.#at;
    if (offset === this.length) return undefined;
    const head = this.#bytes(offset, FRAME_HEADER_LENGTH);
    const { kind, metaLength, dataLength, checksum } = decodeFrameHeader(head, 0);
    if (metaLength > FRAME_META_LENGTH_MAX || dataLength > UNIT_LENGTH_MAX) {
      throw this.#damaged(offset, "an impossible frame length");
    }
    const bytes = this.#bytes(offset, FRAME_HEADER_LENGTH + metaLength);
    if (frameChecksum(bytes, 0, metaLength) !== checksum) {
      throw this.#damaged(offset, "a frame whose checksum does not fit");
    }
    const meta = bytes.subarray(FRAME_HEADER_LENGTH);
    const position = offset + bytes.length;
    if (position + dataLength > this.length) throw this.#damaged(offset, "a cut-off frame");
    this.#at = position + dataLength;
    if (kind === FRAME_COMMIT) {
      return {
        kind: "commit",
        offset,
        changes: changesOf(this.segment, { kind: "commit", offset, meta }),
      };
    }
    if (kind !== FRAME_UNIT) throw this.#damaged(offset, `a frame of kind ${kind}`);
    return { kind: "unit", id: decodeUnitMeta(meta).id, position, dataLength };
  }

  /** The bytes of a unit, into a buffer. Throws STORE_DAMAGED. */
  readData(position: number, into: Buffer): void {
    const start = position - this.#windowStart;
    if (start >= 0 && start + into.length <= this.#window.length) {
      this.#window.copy(into, 0, start, start + into.length);
      return;
    }
    const read = this.#read(position, into, into.length);
    if (read < into.length) throw this.#damaged(position, "a cut-off frame");
  }

  /** Valid until the next call. */
  #bytes(from: number, count: number): Buffer {
    if (from + count > this.length) throw this.#damaged(from, "a cut-off frame");
    const start = from - this.#windowStart;
    if (start < 0 || start + count > this.#window.length) {
      const size = Math.min(Math.max(count, WINDOW_LENGTH), this.length - from);
      const window = size > WINDOW_LENGTH ? Buffer.allocUnsafe(size) : this.#scratch;
      const read = this.#read(from, window, size);
      this.#window = window.subarray(0, read);
      this.#windowStart = from;
      if (read < count) throw this.#damaged(from, "a cut-off frame");
      return this.#window.subarray(0, count);
    }
    return this.#window.subarray(start, start + count);
  }

  #read(position: number, into: Buffer, length: number): number {
    return readingSegment(() => this.#files.read(this.segment, position, into, 0, length));
  }

  #damaged(offset: number, what: string): StoreError {
    return new StoreError("STORE_DAMAGED", `segment ${this.segment}: ${what} at offset ${offset}`);
  }
}

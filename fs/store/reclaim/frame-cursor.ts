/**
 * The frames of a segment that gets no more of them, one at a time, so that others get their turn in between. The data
 * of a unit is read only if it is asked for.
 */
import { StoreError } from "../errors.ts";
import { changesOf } from "../log/changes-of.ts";
import { readFrame } from "../log/frame.ts";
import type { SegmentFiles } from "../log/segment-files.ts";
import { FileWindow } from "../log/segment-window.ts";
import type { Change } from "../records/change.ts";
import { SEGMENT_HEADER_LENGTH } from "../records/format.ts";
import { readingSegment } from "./unreadable.ts";

/** Small, so that a unit whose data is not asked for is passed over. */
const READ_LENGTH = 64 * 1024;

type ScannedFrame =
  | {
      readonly kind: "unit";
      readonly id: number;
      /** Where the data stands. */
      readonly position: number;
      readonly dataLength: number;
    }
  | { readonly kind: "commit"; readonly offset: number; readonly changes: readonly Change[] };

export class FrameCursor {
  readonly segment: number;
  readonly length: number;
  readonly #files: Pick<SegmentFiles, "length" | "read">;
  readonly #window: FileWindow;
  #at = SEGMENT_HEADER_LENGTH;

  /** Throws STORE_DAMAGED. */
  constructor(files: SegmentFiles, segment: number) {
    this.#files = {
      length: (number) => readingSegment(() => files.length(number)),
      read: (...range) => readingSegment(() => files.read(...range)),
    };
    this.segment = segment;
    this.#window = new FileWindow(this.#files, segment, READ_LENGTH);
    this.length = this.#window.length;
  }

  /** Where the next frame begins. */
  get offset(): number {
    return this.#at;
  }

  /** Undefined at the segment's end. Throws STORE_DAMAGED. */
  next(): ScannedFrame | undefined {
    const offset = this.#at;
    if (offset === this.length) return undefined;
    const frame = readFrame(this.#window, offset);
    if (frame.kind === "bad") throw this.#damaged(offset, frame.what);
    this.#at = frame.end;
    if (frame.kind === "commit") {
      return { kind: "commit", offset, changes: changesOf(this.segment, frame) };
    }
    const { unit, position, dataLength } = frame;
    return { kind: "unit", id: unit.id, position, dataLength };
  }

  /** The bytes of a unit, into a buffer. Throws STORE_DAMAGED. */
  readData(position: number, into: Buffer): void {
    const { bytes, start } = this.#window;
    const from = position - start;
    if (from >= 0 && from + into.length <= bytes.length) {
      bytes.copy(into, 0, from, from + into.length);
      return;
    }
    const read = this.#files.read(this.segment, position, into, 0, into.length);
    if (read < into.length) throw this.#damaged(position, "a cut-off frame");
  }

  #damaged(offset: number, what: string): StoreError {
    return new StoreError("STORE_DAMAGED", `segment ${this.segment}: ${what} at offset ${offset}`);
  }
}

/** The segment that the log is appended to: where its frames end, and the zeros that are written behind them in advance. */
import { StoreError } from "../errors.ts";
import { ZEROS_AHEAD } from "../records/format.ts";
import type { LogPosition } from "./log.ts";
import type { SegmentFiles } from "./segment-files.ts";

const ZEROS = Buffer.alloc(ZEROS_AHEAD);
/** Where there was no room for zeros, they are not tried again before so many writes. */
const WRITES_WITHOUT_ZEROS = 256;

export class LastSegment {
  readonly #files: SegmentFiles;
  #number: number;
  /** Where the next written byte goes. */
  #end: number;
  #zerosEnd: number;
  #writesWithoutZeros = 0;

  constructor(files: SegmentFiles, end: LogPosition) {
    this.#files = files;
    this.#number = end.segment;
    this.#end = end.offset;
    this.#zerosEnd = end.offset;
    files.pin(end.segment);
  }

  get number(): number {
    return this.#number;
  }

  /** Behind its last frame. */
  get end(): number {
    return this.#end;
  }

  /** Another one is the last, and has frames up to there. */
  moveTo({ segment, offset }: LogPosition): void {
    this.#files.pin(segment);
    this.#number = segment;
    this.#end = offset;
    this.#zerosEnd = offset;
  }

  /**
   * Writes frames that are `length` bytes long together. Zeros are written first: a write that fails and cannot be cut
   * off may have left any part of itself, and that must not be a whole frame.
   */
  append(frames: Buffer[], length: number): void {
    const start = this.#end;
    const end = start + length;
    if (end > this.#zerosEnd) this.#zerosEnd = this.#zerosFrom(end);
    const zerosEnd = Math.max(this.#zerosEnd, end);
    // What a failed append leaves: nothing behind the last frame.
    this.#zerosEnd = start;
    this.#files.append(this.#number, start, frames);
    this.#zerosEnd = zerosEnd;
    this.#end = end;
  }

  /** Returns where the file ends then: there, if the disk has no room for zeros. */
  #zerosFrom(end: number): number {
    if (this.#writesWithoutZeros > 0) {
      this.#writesWithoutZeros--;
      return end;
    }
    try {
      this.#files.append(this.#number, end, [ZEROS]);
      return end + ZEROS.length;
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== "STORE_FULL") throw error;
      this.#writesWithoutZeros = WRITES_WITHOUT_ZEROS;
      return end;
    }
  }

  /** Without zeros from then on. */
  trim(): void {
    if (this.#zerosEnd > this.#end) this.#files.truncate(this.#number, this.#end);
    this.#zerosEnd = this.#end;
  }

  /** The same, and synced: it gets no further frame. */
  seal(): void {
    this.#files.seal(this.#number, this.#end);
    this.#zerosEnd = this.#end;
  }
}

/**
 * How long the segments are that get no more frames, and which of them cleaning leaves as they are.
 *
 * A segment that cannot be looked at, as one that is missing, has no length and is left as it is: whoever asks for the
 * length of the log is in the middle of a change, and has no use for an error.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { StoreError } from "../errors.ts";
import type { SegmentFiles } from "../log/segment-files.ts";

/** Looked at in one turn. */
const AT_ONCE = 500;

export interface SealedBytes {
  readonly all: number;
  /** Of them, those in segments that are left as they are. */
  readonly kept: number;
}

export class SegmentLengths {
  readonly #files: Pick<SegmentFiles, "length">;
  readonly #lengths = new Map<number, number>();
  /** By segment, why it is left as it is. */
  readonly #kept = new Map<number, string>();
  /** Of the segments before this one, which was the last one then. */
  #before = 0;
  #sealed: SealedBytes | undefined;

  constructor(files: Pick<SegmentFiles, "length">) {
    this.#files = files;
  }

  /** Segments that are left as they are, as long as the store is open. */
  get kept(): ReadonlyMap<number, string> {
    return this.#kept;
  }

  keep(segment: number, why: string): void {
    this.#kept.set(segment, why);
    this.#sealed = undefined;
    process.emitWarning(`segment ${segment} is left as it is: ${why}`);
  }

  of(segment: number): number {
    let length = this.#lengths.get(segment);
    if (length === undefined) {
      length = this.#look(segment);
      this.#lengths.set(segment, length);
    }
    return length;
  }

  /**
   * At all segments before `last`, before they are asked for: of a log of tens of thousands of them the first look takes
   * some time, and others have their turn meanwhile.
   */
  async lookAt(segments: ReadonlyMap<number, unknown>, last: number): Promise<void> {
    let count = 0;
    for (const segment of segments.keys()) {
      if (segment >= last || this.#lengths.has(segment)) continue;
      this.of(segment);
      if (++count % AT_ONCE === 0) await nextTurn();
    }
  }

  forget(segment: number): void {
    this.#lengths.delete(segment);
    this.#sealed = undefined;
  }

  /** Bytes of these segments but the last one; of the same ones as long as that is the last one and none is forgotten. */
  sealed(segments: Iterable<number>, last: number): SealedBytes {
    if (this.#sealed !== undefined && this.#before === last) return this.#sealed;
    let all = 0;
    let kept = 0;
    for (const segment of segments) {
      if (segment === last) continue;
      const length = this.of(segment);
      all += length;
      if (this.#kept.has(segment)) kept += length;
    }
    this.#before = last;
    this.#sealed = { all, kept };
    return this.#sealed;
  }

  #look(segment: number): number {
    try {
      return this.#files.length(segment);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (!this.#kept.has(segment)) this.keep(segment, error.message);
      return 0;
    }
  }
}

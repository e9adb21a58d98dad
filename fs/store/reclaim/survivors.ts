/**
 * Which segments will be left when a batch is gone: as long as one of them may hold what a deletion record deletes,
 * the record is needed. Numbers of inodes and of pending deliveries grow with the log, so what has a number can
 * have records only from the first segment on whose end is behind that number.
 */
import type { SegmentUse } from "../state/segment-use.ts";

export class Survivors {
  /** Ascending. */
  readonly #uses: readonly SegmentUse[];

  constructor(uses: Iterable<SegmentUse>, victims: ReadonlySet<number>) {
    this.#uses = [...uses]
      .filter(({ segment }) => !victims.has(segment))
      .sort((a, b) => a.segment - b.segment);
  }

  /** Whether one up to segment `last` may hold a record that names the inode. */
  mayHoldInode(ino: number, last: number): boolean {
    return (this.#lastUpTo(last)?.endIno ?? 0) > ino;
  }

  mayHoldPending(id: number, last: number): boolean {
    return (this.#lastUpTo(last)?.endPending ?? 0) > id;
  }

  #lastUpTo(last: number): SegmentUse | undefined {
    let low = 0;
    let high = this.#uses.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#uses[middle] as SegmentUse).segment <= last) low = middle + 1;
      else high = middle;
    }
    return this.#uses[low - 1];
  }
}

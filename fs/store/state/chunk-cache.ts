/**
 * Chunks that were read and checked a moment ago, by their place in the log, for those who look at the same bytes again
 * and again. What stands at a place never changes. The bytes lie one behind the other in one buffer that is used
 * round and round, so that a chunk costs nothing for the garbage collector: the one that came first is overwritten first.
 *
 * Invariant: the entries of the map are in the order in which their bytes follow each other from `#next` on, round the end.
 */

const SEGMENT = 0x1_0000_0000;

export class ChunkCache {
  readonly #bytes: Buffer;
  /** From the place in the log to the start in the buffer. */
  readonly #starts = new Map<number, number>();
  #next = 0;

  constructor(bytesMax: number) {
    this.#bytes = Buffer.allocUnsafeSlow(bytesMax);
  }

  /** A view of the chunk, valid until the next call of reserve; undefined when it is not there. */
  get(segment: number, position: number, length: number): Buffer | undefined {
    const start = this.#starts.get(segment * SEGMENT + position);
    return start === undefined ? undefined : this.#bytes.subarray(start, start + length);
  }

  /** Room for a chunk of at most all bytes, which counts as there once it is kept. */
  reserve(length: number): Buffer {
    const max = this.#bytes.length;
    if (this.#next + length > max) {
      this.#drop(this.#next, max);
      this.#next = 0;
    }
    this.#drop(this.#next, this.#next + length);
    return this.#bytes.subarray(this.#next, this.#next + length);
  }

  /** The bytes of the room that was reserved last are the chunk at this place. */
  keep(segment: number, position: number, length: number): void {
    this.#starts.set(segment * SEGMENT + position, this.#next);
    this.#next += length;
  }

  /** The oldest entries, as long as they begin in this part of the buffer. */
  #drop(from: number, to: number): void {
    for (const [place, start] of this.#starts) {
      if (start < from || start >= to) break;
      this.#starts.delete(place);
    }
  }
}

/**
 * Chunks that were read and checked a moment ago, by their place in the log, for those who look at the same bytes again and
 * again. What stands at a place never changes. Bounded in bytes; the chunk that came first goes first.
 */

const SEGMENT = 0x1_0000_0000;

export class ChunkCache {
  readonly #bytesMax: number;
  readonly #chunks = new Map<number, Buffer>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get(segment: number, position: number): Buffer | undefined {
    return this.#chunks.get(segment * SEGMENT + position);
  }

  /** A chunk that is not there. The bytes are kept as they are. */
  add(segment: number, position: number, chunk: Buffer): void {
    this.#chunks.set(segment * SEGMENT + position, chunk);
    this.#bytes += chunk.length;
    for (const [place, oldest] of this.#chunks) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#chunks.delete(place);
      this.#bytes -= oldest.length;
    }
  }
}

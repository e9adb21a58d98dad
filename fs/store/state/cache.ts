/**
 * Rows in memory, bounded in number and in bytes: rows that equal the index are dropped when there are
 * too many, oldest first; changed ones stay until a checkpoint has written them. A row's bytes are looked at
 * when it comes and when a checkpoint has written it (weigh).
 */
import type { Row } from "../index/row.ts";

export class RowCache<K, R extends Row> {
  readonly #rows = new Map<K, R>();
  readonly #countMax: number;
  readonly #bytesMax: number;
  #bytes = 0;
  /** A sweep that finds little to drop is not repeated before the cache has grown again. */
  #sweepAtCount: number;
  #sweepAtBytes: number;

  constructor(countMax: number, bytesMax: number) {
    this.#countMax = countMax;
    this.#bytesMax = bytesMax;
    this.#sweepAtCount = countMax;
    this.#sweepAtBytes = bytesMax;
  }

  get size(): number {
    return this.#rows.size;
  }

  get full(): boolean {
    return this.#rows.size > this.#sweepAtCount || this.#bytes > this.#sweepAtBytes;
  }

  get(key: K): R | undefined {
    return this.#rows.get(key);
  }

  set(key: K, row: R): void {
    this.#rows.set(key, row);
    this.weigh(row);
  }

  /** The row may have grown. */
  weigh(row: R): void {
    const { weight } = row;
    this.#bytes += weight - row.weighed;
    row.weighed = weight;
  }

  delete(key: K): void {
    const row = this.#rows.get(key);
    if (row !== undefined) this.#drop(key, row);
  }

  values(): IterableIterator<R> {
    return this.#rows.values();
  }

  /** Drops the oldest clean rows down to 7/8 of the limits. */
  sweep(): void {
    const spareCount = Math.ceil(this.#countMax / 8);
    const spareBytes = Math.ceil(this.#bytesMax / 8);
    const keepCount = this.#countMax - spareCount;
    const keepBytes = this.#bytesMax - spareBytes;
    for (const [key, row] of this.#rows) {
      if (this.#rows.size <= keepCount && this.#bytes <= keepBytes) break;
      if (row.generation === 0) this.#drop(key, row);
    }
    this.#sweepAtCount = Math.max(this.#countMax, this.#rows.size + spareCount);
    this.#sweepAtBytes = Math.max(this.#bytesMax, this.#bytes + spareBytes);
  }

  #drop(key: K, row: R): void {
    row.dropped = true;
    this.#bytes -= row.weighed;
    row.weighed = 0;
    this.#rows.delete(key);
  }
}

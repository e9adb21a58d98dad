/**
 * Rows in memory, bounded: rows that equal the index are dropped when there are too many, oldest
 * first; changed ones stay until a checkpoint has written them.
 */
import type { Row } from "./row.ts";

export class RowCache<K, R extends Row> {
  readonly #rows = new Map<K, R>();
  readonly #countMax: number;
  /** A sweep that finds little to drop is not repeated before the cache has grown again. */
  #sweepAt: number;

  constructor(countMax: number) {
    this.#countMax = countMax;
    this.#sweepAt = countMax;
  }

  get size(): number {
    return this.#rows.size;
  }

  get full(): boolean {
    return this.#rows.size > this.#sweepAt;
  }

  get(key: K): R | undefined {
    return this.#rows.get(key);
  }

  set(key: K, row: R): void {
    this.#rows.set(key, row);
  }

  delete(key: K): void {
    const row = this.#rows.get(key);
    if (row !== undefined) this.#drop(key, row);
  }

  values(): IterableIterator<R> {
    return this.#rows.values();
  }

  /** Drops the oldest clean rows down to 7/8 of the limit. */
  sweep(): void {
    const keep = this.#countMax - Math.ceil(this.#countMax / 8);
    for (const [key, row] of this.#rows) {
      if (this.#rows.size <= keep) break;
      if (row.generation === 0) this.#drop(key, row);
    }
    this.#sweepAt = Math.max(this.#countMax, this.#rows.size + Math.ceil(this.#countMax / 8));
  }

  #drop(key: K, row: R): void {
    row.dropped = true;
    this.#rows.delete(key);
  }
}

/**
 * For a rebuild of the index from a log with gaps: where each inode's last snapshot (or its creation) stands, and
 * which inodes are gone. As many as there are inodes, so they lie in the index, as rows that the end of the
 * rebuild removes again; those looked at last are in memory.
 */
import { ByteReader, ByteWriter } from "../../../base/bytes.ts";
import { firstNumber, kindRange, resetKey } from "../index/keys.ts";
import type { IndexBatch, StoreIndex } from "../index/store-index.ts";
import { offsetOf, placeOf, segmentOf } from "../records/place.ts";

const IN_MEMORY_MAX = 100_000;
const ROWS_PER_BATCH = 20_000;

export interface Reset {
  /** Where the snapshot stands: from there on the log is true about the inode. */
  readonly place: number;
  /** Where the pages of its map begin: there, or before it. */
  readonly mapFrom: number;
}

/** Behind every place: nothing that is said about the inode counts. */
const GONE: Reset = { place: Number.MAX_SAFE_INTEGER, mapFrom: Number.MAX_SAFE_INTEGER };

export class Resets {
  readonly #index: StoreIndex;
  readonly #out = new ByteWriter(16);
  /** Those not yet in the index. */
  #changed = new Map<number, Reset>();
  #known = new Map<number, Reset>();

  constructor(index: StoreIndex) {
    this.#index = index;
  }

  /** The last place counts, in whatever order they come. */
  add(ino: number, reset: Reset): void {
    const known = this.#changed.get(ino);
    if (known === undefined || known.place < reset.place) this.#changed.set(ino, reset);
  }

  /** The inode is gone at the end of the log. */
  addGone(ino: number): void {
    this.#changed.set(ino, GONE);
  }

  /** Undefined when the inode does not exist at the log's end. */
  get(ino: number): Reset | undefined {
    let reset = this.#known.get(ino);
    if (reset === undefined) {
      reset = this.#stored(ino) ?? GONE;
      if (this.#known.size >= IN_MEMORY_MAX) this.#known.clear();
      this.#known.set(ino, reset);
    }
    return reset.place === GONE.place ? undefined : reset;
  }

  get isFull(): boolean {
    return this.#changed.size >= IN_MEMORY_MAX;
  }

  /** To be called when it is full, and before the first get. */
  async store(): Promise<void> {
    const changed = this.#changed;
    this.#changed = new Map();
    const batches = new Batches(this.#index);
    for (const [ino, { place, mapFrom }] of changed) {
      if (place <= (this.#stored(ino)?.place ?? -1)) continue;
      this.#out.reset();
      for (const one of [place, mapFrom]) {
        this.#out.varint(segmentOf(one));
        this.#out.varint(offsetOf(one));
      }
      batches.current.put(resetKey(ino), this.#out.view());
      await batches.next();
    }
    await batches.end();
  }

  async remove(): Promise<void> {
    const batches = new Batches(this.#index);
    const rows = this.#index.rows(kindRange("r"));
    try {
      for (;;) {
        const some = await rows.next(ROWS_PER_BATCH);
        if (some.length === 0) break;
        for (const [key] of some) {
          batches.current.del(resetKey(firstNumber(key)));
          await batches.next();
        }
      }
    } finally {
      await rows.close();
    }
    await batches.end();
  }

  #stored(ino: number): Reset | undefined {
    const row = this.#index.get(resetKey(ino));
    if (row === undefined) return undefined;
    const from = new ByteReader(row);
    const place = placeOf(from.varint(), from.varint());
    return { place, mapFrom: placeOf(from.varint(), from.varint()) };
  }
}

class Batches {
  readonly #index: StoreIndex;
  #batch: IndexBatch | undefined;
  #rows = 0;

  constructor(index: StoreIndex) {
    this.#index = index;
  }

  get current(): IndexBatch {
    this.#batch ??= this.#index.batch();
    return this.#batch;
  }

  async next(): Promise<void> {
    if (++this.#rows >= ROWS_PER_BATCH) await this.end();
  }

  async end(): Promise<void> {
    const batch = this.#batch;
    this.#batch = undefined;
    this.#rows = 0;
    await batch?.write();
  }
}

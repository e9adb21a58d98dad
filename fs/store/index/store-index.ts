/**
 * What the store asks of its index: rows by key, in order, changed in batches. The real one is LevelDB
 * (index-db.ts); tests put a simulated one in its place.
 */
import type { RowBatch } from "./row.ts";

/** The part of the index that the state reads. */
export interface IndexReader {
  get(key: Buffer): Buffer | undefined;
}

export interface KeyRange {
  readonly gte: Buffer;
  readonly lt: Buffer;
}

/** A batch whose rows appear together or not at all, also after a power cut. */
export interface IndexBatch extends RowBatch {
  /** On stable storage when it resolves. */
  write(): Promise<void>;
}

export interface IndexRows {
  /** The next rows; none at the end. */
  next(countMax: number): Promise<[Buffer, Buffer][]>;
  close(): Promise<void>;
}

export interface StoreIndex extends IndexReader {
  /** The row that says what the index covers. */
  meta(): Buffer | undefined;
  batch(): IndexBatch;
  /** The rows of a range as they are now, in order, whatever is written meanwhile. */
  rows(range: KeyRange): IndexRows;
  /** Calls `visit` for each row of a range; it may take several turns of the event loop. */
  each(range: KeyRange, visit: (key: Buffer, value: Buffer) => void): Promise<void>;
  close(): Promise<void>;
  /** Whether a write has failed, so that it takes no others before it is repaired. */
  readonly isBroken?: boolean;
  repair?(): Promise<void>;
}

/** Where a store's index is kept. */
export interface IndexKind {
  /** Opens or creates; throws INDEX_DAMAGED when it is found damaged. */
  open(store: string): Promise<StoreIndex>;
  remove(store: string): void;
  /**
   * Instead of remove, where a damaged index is worth more than none if the log turns out to be damaged too: it is kept
   * elsewhere until the new one is made (dropAside) or cannot be made (putBack).
   */
  setAside?(store: string): void;
  putBack?(store: string): void;
  dropAside?(store: string): void;
}

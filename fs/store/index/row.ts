/**
 * A row of the index as it lives in memory. A changed row belongs to a generation; a checkpoint
 * freezes the generation that is current and writes exactly the states that its rows had then.
 *
 * Invariants:
 * - generation 0: the row equals the one in the index, and may be dropped from memory;
 * - a frozen row still has the state it had when its generation was frozen: State.touch writes it
 *   into the checkpoint's batch before anybody changes it.
 */

/** The part of LevelDB's batch that a row needs. It copies key and value before it returns. */
export interface RowBatch {
  put(key: Buffer, value: Buffer): unknown;
  del(key: Buffer): unknown;
}

export abstract class Row {
  /** The generation in which the row was last changed; 0: not since it was last written. */
  generation = 0;
  /** Whether a checkpoint that is under way has still to write it. */
  frozen = false;
  /** Whether the row is to be deleted from the index. */
  removed = false;
  /** Whether it is no longer the one in memory: a reference to it from elsewhere is stale. */
  dropped = false;

  /** What a cache last took for its weight; 0 when it is in none. */
  weighed = 0;

  /** About how many bytes it takes in a batch. */
  get weight(): number {
    return 80;
  }

  abstract write(batch: RowBatch): void;
}

/**
 * Brings the index up to a position of the log while the store goes on.
 *
 *     freeze (one turn) -> rows into a batch, some each turn -> the log is durable up to the position
 *     -> one synced write of the batch -> rows that did not change meanwhile are clean
 *
 * A row that changes while it waits is written into the batch first (State.touch), so the batch is the
 * state at the position exactly. It never covers a position that is not durable.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { StoreError } from "../errors.ts";
import { META_KEY } from "../index/keys.ts";
import type { StoreIndex } from "../index/store-index.ts";
import type { Log, LogPosition } from "../log/log.ts";
import type { Meta } from "./meta-row.ts";
import { encodeMeta, encodeUnfinishedMeta } from "./meta-row.ts";
import type { State } from "./state.ts";

/** How far the index may lag behind the log: what a start after a crash has to read. */
export const INDEX_LAG_BYTES_MAX = 64 * 1024 * 1024;
export const INDEX_LAG_EXTENTS_MAX = 200_000;
/** A checkpoint starts at this part of the lag, so that it is done before the limit is reached. */
export const CHECKPOINT_AT = 0.85;
/** And when it would write this much: its batch is in memory as a whole, and for a while after. */
export const CHECKPOINT_BYTES = 10 * 1024 * 1024;

/**
 * How many bytes of rows may wait in memory for an index that cannot be written. Objects take up to ten times as much,
 * for each row some 800 bytes.
 */
export const UNWRITTEN_BYTES_MAX = 128 * 1024 * 1024;

/** Rows that one turn of the event loop writes into the batch: about a millisecond. */
const ROWS_PER_TURN = 400;

/** Returns the position that the index covers then. `finished`: the rows are a state of the log; else `m` says that they are not. */
export async function writeCheckpoint(
  state: State,
  log: Log,
  index: StoreIndex,
  finished = true,
): Promise<LogPosition> {
  const batch = index.batch();
  const position = log.end;
  const meta = finished ? encodeMeta(metaOf(state, position)) : encodeUnfinishedMeta();
  const { moves } = log;
  const generation = state.generation;
  const extents = state.extentsChanged;
  const rows = state.freeze(batch);
  try {
    const durable = log.durable();
    durable.catch(() => {});
    for (let k = 0; k < rows.length; k++) {
      state.writeFrozen(rows[k] as (typeof rows)[number]);
      if (k % ROWS_PER_TURN === ROWS_PER_TURN - 1) await nextTurn();
    }
    batch.put(META_KEY, meta);
    await durable;
    if (log.moves !== moves) {
      throw new StoreError("STORE_IO", "a part of the log went to another segment meanwhile");
    }
    await batch.write();
  } catch (error) {
    state.unfreeze(rows, generation, extents);
    throw error;
  }
  state.endFreeze();
  for (let k = 0; k < rows.length; k++) {
    state.thawed(rows[k] as (typeof rows)[number], generation);
    if (k % (ROWS_PER_TURN * 10) === 0) await nextTurn();
  }
  return position;
}

/** Whether reading a log should pause for a checkpoint. */
export function isCheckpointDue(state: State, checkpointBytes: number): boolean {
  return state.extentsChanged > INDEX_LAG_EXTENTS_MAX || state.changedBytes > checkpointBytes;
}

function metaOf(state: State, position: LogPosition): Meta {
  return {
    position,
    counters: { ...state.counters },
    orphans: [...state.orphans],
    unlinked: [...state.unlinked],
    removed: state.removedSegments,
  };
}

/**
 * Opening a store: its lock, its index, and the state brought from where the index ends to the end of
 * the log. Afterwards the index lags by no more than its bounds.
 */
import { ByteReader } from "../../base/bytes.ts";
import type { Time } from "../attributes.ts";
import { dropUnlinked } from "./apply.ts";
import { CHECKPOINT_BYTES, INDEX_LAG_EXTENTS_MAX, writeCheckpoint } from "./checkpoint.ts";
import { checkFormat, createStore, isStore, lockStore, unlockStore } from "./directory.ts";
import { StoreError } from "./errors.ts";
import { SEGMENT_HEADER_LENGTH } from "./format.ts";
import { IndexDb } from "./index-db.ts";
import { firstNumber, kindRange } from "./keys.ts";
import { Log } from "./log.ts";
import { decodeMeta } from "./meta-row.ts";
import { decodePending } from "./pending.ts";
import type { Recovered } from "./recovery.ts";
import { replay } from "./recovery.ts";
import { SegmentFiles } from "./segment-files.ts";
import { decodeSegmentUse } from "./segment-use.ts";
import type { CacheLimits } from "./state.ts";
import { CACHE_LIMITS, State } from "./state.ts";

export interface StoreOptions {
  /** Make the store if the directory is missing or empty. */
  readonly create?: boolean;
  readonly now?: () => Time;
  readonly cacheLimits?: CacheLimits;
  /** Segments are ended at this length (bytes); smaller ones are for tests. */
  readonly segmentLength?: number;
  /** Make the index anew from the log. */
  readonly rebuildIndex?: boolean;
  /** Told what a long start is doing: bytes of the log read so far and in all. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

export interface Opened {
  /** The descriptor that holds the store's lock. */
  readonly lock: number;
  readonly files: SegmentFiles;
  readonly index: IndexDb;
  readonly state: State;
  readonly log: Log;
  readonly recovered: Recovered;
  readonly indexRebuilt: boolean;
  /** Bytes of the log that the index does not cover. */
  readonly lagBytes: number;
}

/** Throws StoreError; then the store is as before and free. */
export async function openStore(directory: string, options: StoreOptions): Promise<Opened> {
  if (options.create === true && !isStore(directory)) createStore(directory);
  checkFormat(directory);
  const lock = lockStore(directory);
  const files = new SegmentFiles(directory);
  let index: IndexDb | undefined;
  try {
    if (options.rebuildIndex === true) IndexDb.remove(directory);
    const found = await openIndex(directory);
    ({ index } = found);
    const state = new State(index, options.cacheLimits ?? CACHE_LIMITS);
    const recovery = await recover(directory, files, index, state, options);
    const indexRebuilt = found.rebuilt || options.rebuildIndex === true;
    return { lock, files, index, state, indexRebuilt, ...recovery };
  } catch (error) {
    await index?.close();
    files.closeAll();
    unlockStore(lock);
    throw error;
  }
}

/** An index that cannot be opened is made anew: everything in it comes from the log. */
async function openIndex(directory: string): Promise<{ index: IndexDb; rebuilt: boolean }> {
  try {
    return { index: await IndexDb.open(directory), rebuilt: false };
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== "STORE_DAMAGED") throw error;
    process.emitWarning(`${error.message}; it is made anew from the log`);
    IndexDb.remove(directory);
    return { index: await IndexDb.open(directory), rebuilt: true };
  }
}

async function recover(
  directory: string,
  files: SegmentFiles,
  index: IndexDb,
  state: State,
  options: StoreOptions,
): Promise<Pick<Opened, "log" | "recovered" | "lagBytes">> {
  const metaRow = index.meta();
  const meta = metaRow === undefined ? undefined : decodeMeta(metaRow);
  if (meta !== undefined) {
    state.counters = { ...meta.counters };
    for (const ino of meta.orphans) state.orphans.add(ino);
    for (const id of meta.unlinked) state.unlinked.add(id);
    await loadSmallRows(index, state);
  }
  if (files.list().length === 0) {
    if (meta !== undefined) {
      throw new StoreError("STORE_DAMAGED", `${directory} has an index and no log`);
    }
    files.create(1);
  }
  removeUnfinishedSegment(files);
  let totalBytes = 0;
  for (const segment of files.list()) totalBytes += files.length(segment);
  let done = 0;
  let covered = 0;
  const recovered = await replay(state, files, meta?.position, async (end, bytes) => {
    done += bytes;
    options.onProgress?.(done, totalBytes);
    if (state.extentsChanged <= INDEX_LAG_EXTENTS_MAX && state.changedBytes <= CHECKPOINT_BYTES) {
      return;
    }
    await writeCheckpoint(state, new Log(files, end), index);
    covered = done;
  });
  for (const id of state.unlinked) dropUnlinked(state, id);
  const log = new Log(files, recovered.end, options.segmentLength);
  return { log, recovered, lagBytes: recovered.bytes - covered };
}

/** A crash between a segment's creation and its header leaves a file without one, and nothing in it. */
function removeUnfinishedSegment(files: SegmentFiles): void {
  const last = files.list().at(-1);
  if (last === undefined || files.length(last) >= SEGMENT_HEADER_LENGTH) return;
  files.remove(last);
  if (files.list().length === 0) files.create(1);
}

/** Rows that are always in memory: the use of segments, and what is pending. */
async function loadSmallRows(index: IndexDb, state: State): Promise<void> {
  await index.each(kindRange("s"), (key, value) => {
    const segment = firstNumber(key);
    state.segments.set(segment, decodeSegmentUse(segment, new ByteReader(value)));
  });
  await index.each(kindRange("p"), (_key, value) => {
    const pending = decodePending(value);
    if (pending !== undefined) state.pending.set(pending.change.id, pending);
  });
}

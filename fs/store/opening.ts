/**
 * Opening a store: its lock, its index, and the state brought from where the index ends to the end of
 * the log. Afterwards the index lags by no more than its bounds.
 */
import { ByteReader } from "../../base/bytes.ts";
import type { Time } from "../attributes.ts";
import type { Every } from "../timers.ts";
import {
  checkDirectory,
  createStore,
  isStore,
  lockStore,
  syncNames,
  unlockStore,
} from "./directory.ts";
import type { Disk } from "./disk/disk.ts";
import { Reserve } from "./disk/reserve.ts";
import { systemDisk } from "./disk/system-disk.ts";
import { StoreError } from "./errors.ts";
import { IndexDb } from "./index/index-db.ts";
import { firstNumber, kindRange } from "./index/keys.ts";
import type { IndexKind, StoreIndex } from "./index/store-index.ts";
import type { LogPosition } from "./log/log.ts";
import { Log } from "./log/log.ts";
import { SegmentFiles } from "./log/segment-files.ts";
import type { StepLimits } from "./reclaim/host.ts";
import { SEGMENT_HEADER_LENGTH, SEGMENT_LENGTH } from "./records/format.ts";
import { hasSegment } from "./records/segment-set.ts";
import { refuseMisplaced } from "./recovery/misplaced.ts";
import { hasGaps, rebuild } from "./recovery/rebuild.ts";
import type { Recovered } from "./recovery/recovery.ts";
import { replay } from "./recovery/recovery.ts";
import { dropUnlinked } from "./state/apply.ts";
import { CHECKPOINT_BYTES, isCheckpointDue, writeCheckpoint } from "./state/checkpoint.ts";
import type { Meta } from "./state/meta-row.ts";
import { decodeMeta } from "./state/meta-row.ts";
import { applyMovedTail } from "./state/moved-tail.ts";
import { decodePending } from "./state/pending.ts";
import { decodeSegmentUse } from "./state/segment-use.ts";
import type { CacheLimits } from "./state/state.ts";
import { CACHE_LIMITS, State } from "./state/state.ts";

/** What the store's log and its index are kept on, if not on the system's disk: for tests. */
export interface StoreMedium {
  readonly disk?: Disk;
  readonly indexKind?: IndexKind;
}

export interface StoreOptions extends StoreMedium {
  /** Make the store if the directory is missing or empty. */
  readonly create?: boolean;
  /** Units of which no file has a byte stay, until they are dropped: somebody may still name them. */
  readonly keepUnlinked?: boolean;
  readonly now?: () => Time;
  readonly every?: Every;
  readonly cacheLimits?: CacheLimits;
  /** Segments are ended at this length (bytes); smaller ones are for tests. */
  readonly segmentLength?: number;
  /** The index is brought up to date when it lacks about so many bytes; fewer are for tests. */
  readonly checkpointBytes?: number;
  /** While the index cannot be written, nothing new is taken when it lacks about so many bytes; fewer are for tests. */
  readonly unwrittenBytesMax?: number;
  /** Keep room back for when the disk is full. */
  readonly keepReserve?: boolean;
  /** Make the index anew from the log. */
  readonly rebuildIndex?: boolean;
  /** Give back the space of what nobody references, in the background. */
  readonly reclaim?: boolean;
  /** How much of it is done in one turn; less is for tests. */
  readonly reclaimStep?: StepLimits;
  /** Told what a long start is doing: bytes of the log read so far and in all. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

/** What is given back at a time to a start that finds the disk full (bytes). */
const OPENING_ROOM = 1024 * 1024;

export interface Opened {
  readonly disk: Disk;
  /** The descriptor that holds the store's lock. */
  readonly lock: number;
  readonly files: SegmentFiles;
  readonly reserve: Reserve;
  readonly index: StoreIndex;
  readonly state: State;
  readonly log: Log;
  readonly checkpointBytes: number;
  readonly recovered: Recovered;
  readonly indexRebuilt: boolean;
  /** Bytes of the log that the index does not cover. */
  readonly lagBytes: number;
  /** The position that it does cover, if it is one at all. */
  readonly covered: LogPosition | undefined;
}

/** Throws StoreError; then the store is as before and free. */
export async function openStore(directory: string, options: StoreOptions): Promise<Opened> {
  const { disk = systemDisk, indexKind = IndexDb } = options;
  if (options.create === true && !isStore(directory, disk)) createStore(directory, disk);
  checkDirectory(directory, disk);
  const lock = lockStore(directory, disk);
  const files = new SegmentFiles(directory, disk);
  const segmentLength = options.segmentLength ?? SEGMENT_LENGTH;
  const reserve = new Reserve({ disk, store: directory, segmentLength });
  let index: StoreIndex | undefined;
  try {
    syncNames(directory, disk);
    let indexRebuilt = options.rebuildIndex === true;
    if (indexRebuilt) replaceIndex(indexKind, directory);
    for (;;) {
      try {
        index = await indexKind.open(directory);
        const state = new State(index, options.cacheLimits ?? CACHE_LIMITS);
        const recovery = await recover(files, index, state, reserve, options);
        indexKind.dropAside?.(directory);
        return { disk, lock, files, reserve, index, state, indexRebuilt, ...recovery };
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        if (error.code === "STORE_FULL" && reserve.give("clean", OPENING_ROOM)) {
          // LevelDB writes new files whenever it is opened.
          await index?.close();
          index = undefined;
          indexKind.dropAside?.(directory);
          // One that was made in part is of no use.
          if (indexRebuilt) indexKind.remove(directory);
          continue;
        }
        if (error.code !== "INDEX_DAMAGED" || indexRebuilt) throw error;
        // Everything in it comes from the log.
        process.emitWarning(`${error.message}; the index is made anew from the log`);
        await index?.close();
        index = undefined;
        replaceIndex(indexKind, directory);
        indexRebuilt = true;
      }
    }
  } catch (error) {
    await index?.close();
    indexKind.putBack?.(directory);
    files.closeAll();
    unlockStore(lock, disk);
    throw error;
  }
}

function replaceIndex(indexKind: IndexKind, directory: string): void {
  if (indexKind.setAside === undefined) indexKind.remove(directory);
  else indexKind.setAside(directory);
}

async function recover(
  files: SegmentFiles,
  index: StoreIndex,
  state: State,
  reserve: Reserve,
  options: StoreOptions,
): Promise<Pick<Opened, "log" | "checkpointBytes" | "recovered" | "lagBytes" | "covered">> {
  const meta = await loadState(index, state);
  const { checkpointBytes = CHECKPOINT_BYTES } = options;
  refuseMisplaced(files);
  files.removeUnfinished();
  removeUnfinishedSegment(files);
  cutLastButOne(files);
  let totalBytes = 0;
  for (const segment of files.list()) totalBytes += files.length(segment);
  let done = 0;
  let covered = 0;
  let coveredTo = meta?.position;
  const isEnough = (): boolean => isCheckpointDue(state, checkpointBytes);
  const after = async (end: LogPosition, bytes: number): Promise<void> => {
    done += bytes;
    options.onProgress?.(done, totalBytes);
    if (!isEnough()) return;
    coveredTo = await writeCheckpoint(state, new Log(files, end), index);
    covered = done;
  };
  let recovered: Recovered;
  if (meta === undefined && hasGaps(files)) {
    recovered = await rebuild(state, files, index, {
      checkpointBytes,
      onProgress: (doneBytes) => options.onProgress?.(doneBytes, totalBytes),
    });
    coveredTo = recovered.end;
    covered = recovered.bytes;
  } else {
    recovered = await replay(state, files, meta?.position, { isEnough, after });
    if (options.keepUnlinked !== true) {
      for (const id of state.unlinked) dropUnlinked(state, id);
    }
  }
  dropGone(state);
  removeLeftOver(files, state);
  const log = new Log(files, recovered.end, {
    segmentLength: options.segmentLength,
    room: reserve,
    onMoved: (moved) => applyMovedTail(state, moved),
  });
  const lagBytes = recovered.bytes - covered;
  return { log, checkpointBytes, recovered, lagBytes, covered: coveredTo };
}

/**
 * No record says that a unit which nobody came to reference was dropped. Cleaning has left it behind then, and somebody who
 * still has its name must not find it.
 */
function dropGone(state: State): void {
  for (const id of state.unlinked) {
    const unit = state.unit(id);
    if (unit !== undefined && hasSegment(state.removedSegments, unit.segment)) {
      dropUnlinked(state, id);
    }
  }
}

/** A crash may come between the record that segments are to go and the end of their files. */
function removeLeftOver(files: SegmentFiles, state: State): void {
  for (const segment of files.list()) {
    if (hasSegment(state.removedSegments, segment)) files.remove(segment);
  }
}

/** A crash between a segment's creation and its header leaves a file without one, and nothing in it. */
function removeUnfinishedSegment(files: SegmentFiles): void {
  const last = files.list().at(-1);
  if (last === undefined || last === 1 || files.length(last) >= SEGMENT_HEADER_LENGTH) return;
  files.remove(last);
}

/** A segment that could not be synced ends where its successor says (log-tail.ts). */
function cutLastButOne(files: SegmentFiles): void {
  const [before, last] = files.list().slice(-2);
  if (before === undefined || last !== before + 1) return;
  const length = files.previousLength(last);
  if (length > 0) files.cutAnew(before, length);
}

/** What is always in memory; undefined when the index is empty. Throws INDEX_DAMAGED. */
export async function loadState(index: StoreIndex, state: State): Promise<Meta | undefined> {
  const row = index.meta();
  if (row === undefined) return undefined;
  const meta = decodeMeta(row);
  state.counters = { ...meta.counters };
  for (const ino of meta.orphans) state.orphans.add(ino);
  for (const id of meta.unlinked) state.unlinked.add(id);
  state.removedSegments = meta.removed;
  await loadSmallRows(index, state);
  return meta;
}

/** Rows that are always in memory: the use of segments, and what is pending. */
async function loadSmallRows(index: StoreIndex, state: State): Promise<void> {
  await index.each(kindRange("s"), (key, value) => {
    const segment = firstNumber(key);
    state.segments.set(segment, decodeSegmentUse(segment, new ByteReader(value)));
  });
  await index.each(kindRange("p"), (_key, value) => {
    const pending = decodePending(value);
    if (pending !== undefined) state.pending.set(pending.change.id, pending);
  });
}

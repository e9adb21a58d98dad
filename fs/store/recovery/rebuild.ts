/**
 * Makes the index from a log in which cleaning has left gaps. What is said about an inode may rest on records
 * that are gone, up to its last snapshot; so the log is read twice:
 *
 *     backwards  which segments are to be passed over, where each unit stands, where each inode's last
 *                snapshot stands (and where its pages begin), and which inodes are gone
 *     forwards   every change that counts, in order; units are counted and not yet removed
 *     then       units that nobody references are removed, and directories learn what is in them
 *
 * Between a unit's move and the end of the log, older records may name parts of it that were trimmed away
 * because of newer ones, or a unit that is gone as a whole: such references are counted as any other, and must have
 * gone by the end. Rows go through the state's bounded caches as ever; until it is done, the index's first row
 * says that it is not, and the next start begins again.
 */
import { ByteReader } from "../../../base/bytes.ts";
import { StoreError } from "../errors.ts";
import { firstNumber, kindRange } from "../index/keys.ts";
import type { StoreIndex } from "../index/store-index.ts";
import { changesOf } from "../log/changes-of.ts";
import type { Frame } from "../log/frame.ts";
import type { LogPosition } from "../log/log.ts";
import { Log } from "../log/log.ts";
import type { SegmentFiles } from "../log/segment-files.ts";
import { SEGMENT_HEADER_LENGTH } from "../records/format.ts";
import { placeOf } from "../records/place.ts";
import { firstMissing, hasSegment } from "../records/segment-set.ts";
import { isCheckpointDue, writeCheckpoint } from "../state/checkpoint.ts";
import { Resets } from "../state/resets.ts";
import type { State } from "../state/state.ts";
import { decodeUnit, Unit } from "../state/unit.ts";
import { countNames, RebuildingApply } from "./rebuild-apply.ts";
import { applyOldUnit, isSettled, settleUnit } from "./rebuild-units.ts";
import type { Pieces, Recovered } from "./recovery.ts";
import { readInPieces } from "./recovery.ts";

const ROWS_AT_ONCE = 1_000;

export function hasGaps(files: SegmentFiles): boolean {
  const segments = files.list();
  return firstMissing(segments, [], segments.at(-1) ?? 0) !== undefined;
}

export interface RebuildOptions {
  /** Rows are written to the index whenever they are about so many bytes. */
  readonly checkpointBytes: number;
  readonly onProgress: (doneBytes: number) => void;
}

export async function rebuild(
  state: State,
  files: SegmentFiles,
  index: StoreIndex,
  options: RebuildOptions,
): Promise<Recovered> {
  const rebuilding = new Rebuild(state, files, index, options);
  return rebuilding.run();
}

class Rebuild {
  readonly #state: State;
  readonly #files: SegmentFiles;
  readonly #index: StoreIndex;
  readonly #resets: Resets;
  readonly #options: RebuildOptions;
  #end: LogPosition = { segment: 0, offset: 0 };
  /** In both passes. */
  #readBytes = 0;
  readonly #pieces: Pieces = {
    isEnough: () => this.#isLarge,
    after: async (_end, bytes) => {
      this.#readBytes += bytes;
      this.#options.onProgress(this.#readBytes / 2);
      if (this.#resets.isFull) await this.#resets.store();
      await this.#checkpointIfLarge();
    },
  };

  constructor(state: State, files: SegmentFiles, index: StoreIndex, options: RebuildOptions) {
    this.#state = state;
    this.#files = files;
    this.#index = index;
    this.#resets = new Resets(index);
    this.#options = options;
  }

  async run(): Promise<Recovered> {
    const state = this.#state;
    state.rebuilding = true;
    await this.#checkpoint(false);
    const torn = await this.#readBackwards();
    await this.#readForwards();
    await this.#settleUnits();
    await countNames(state, this.#index, () => this.#checkpointIfLarge());
    await this.#resets.remove();
    state.rebuilding = false;
    await this.#checkpoint(true);
    return { end: this.#end, bytes: this.#readBytes / 2, ...torn };
  }

  async #readBackwards(): Promise<Pick<Recovered, "tornBytes" | "savedTail">> {
    const state = this.#state;
    const segments = this.#files.list();
    const last = segments.at(-1) as number;
    let torn: Pick<Recovered, "tornBytes" | "savedTail"> | undefined;
    for (const segment of segments.toReversed()) {
      if (hasSegment(state.removedSegments, segment)) continue;
      const whole = { start: SEGMENT_HEADER_LENGTH, last: segment === last };
      const read = await readInPieces(this.#files, segment, whole, this.#pieces, (frame) =>
        this.#noteFrame(segment, frame),
      );
      if (torn === undefined) {
        torn = { tornBytes: read.tornBytes, savedTail: read.savedTail };
        this.#end = { segment, offset: read.end };
      }
    }
    const missing = firstMissing(segments, state.removedSegments, last);
    if (missing !== undefined) {
      throw new StoreError("STORE_DAMAGED", `the log has no segment ${missing}`);
    }
    await this.#resets.store();
    return torn ?? { tornBytes: 0, savedTail: undefined };
  }

  #noteFrame(segment: number, frame: Frame): void {
    const state = this.#state;
    if (frame.kind === "unit") {
      applyOldUnit(state, new Unit(frame.unit.id, segment, frame.position, frame.unit.chunks));
    } else {
      const { counters } = state;
      for (const change of changesOf(segment, frame)) {
        if (change.type === "inode") {
          const place = placeOf(segment, frame.offset);
          this.#resets.add(change.ino, { place, mapFrom: change.mapFrom ?? place });
        } else if (change.type === "dropInode" || change.type === "absentInode") {
          this.#resets.addGone(change.ino);
        } else if (change.type === "removed") {
          RebuildingApply.removed(state, change);
        }
        if ("ino" in change) counters.nextIno = Math.max(counters.nextIno, change.ino + 1);
        if ("id" in change) counters.nextPending = Math.max(counters.nextPending, change.id + 1);
      }
    }
    if (state.full) state.sweep();
  }

  async #readForwards(): Promise<void> {
    const state = this.#state;
    const apply = new RebuildingApply(state, this.#resets);
    // What numbers a segment may hold is learnt from its records, as if they were written now.
    const { nextIno, nextPending } = state.counters;
    state.counters.nextIno = 0;
    state.counters.nextPending = 0;
    for (const segment of this.#files.list()) {
      if (hasSegment(state.removedSegments, segment)) continue;
      state.moveTo(segment, 0);
      state.numbered();
      const whole = { start: SEGMENT_HEADER_LENGTH, last: false, checkData: false };
      await readInPieces(this.#files, segment, whole, this.#pieces, (frame) => {
        if (frame.kind === "commit") {
          state.moveTo(segment, frame.offset);
          apply.commit(changesOf(segment, frame));
        }
        if (state.full) state.sweep();
      });
    }
    state.counters.nextIno = Math.max(nextIno, state.counters.nextIno);
    state.counters.nextPending = Math.max(nextPending, state.counters.nextPending);
  }

  async #settleUnits(): Promise<void> {
    const state = this.#state;
    await this.#checkpoint(false);
    const rows = this.#index.rows(kindRange("u"));
    try {
      for (;;) {
        const some = await rows.next(ROWS_AT_ONCE);
        if (some.length === 0) break;
        for (const [key, value] of some) {
          const id = firstNumber(key);
          if (!isSettled(decodeUnit(id, new ByteReader(value)))) settleUnit(state, id);
        }
        if (state.full) state.sweep();
        await this.#checkpointIfLarge();
      }
    } finally {
      await rows.close();
    }
    state.unlinked.clear();
  }

  get #isLarge(): boolean {
    return this.#resets.isFull || isCheckpointDue(this.#state, this.#options.checkpointBytes);
  }

  async #checkpointIfLarge(): Promise<void> {
    if (this.#isLarge) await this.#checkpoint(false);
  }

  async #checkpoint(finished: boolean): Promise<void> {
    await writeCheckpoint(this.#state, new Log(this.#files, this.#end), this.#index, finished);
  }
}

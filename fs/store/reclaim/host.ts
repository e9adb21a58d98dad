/** What cleaning needs of the store that it works in. */
import type { Claim } from "../disk/room.ts";
import type { Log, LogPosition } from "../log/log.ts";
import type { SegmentFiles } from "../log/segment-files.ts";
import type { Change } from "../records/change.ts";
import type { State } from "../state/state.ts";

/** What is done in one turn of the event loop. */
export interface StepLimits {
  /** Of a file that is written down anew. */
  readonly extentsMax: number;
  /** A step ends at the first opportunity after this time. */
  readonly stepMs: number;
}

/** Others wait no longer than some milliseconds. */
export const STEP_LIMITS: StepLimits = { extentsMax: 2_048, stepMs: 2 };

/** What a full disk leaves to cleaning (reserve.ts). */
export interface CleaningRoom {
  readonly isFull: boolean;
  readonly isShort: boolean;
  readonly roomForMoves: number;
}

export interface ReclaimHost {
  readonly state: State;
  readonly files: SegmentFiles;
  readonly log: Log;
  readonly stepLimits: StepLimits;
  /** What a start would read begins here; undefined: at the log's beginning. */
  covered(): LogPosition | undefined;
  /** As Store.commit. */
  commit(changes: readonly Change[], claim: Claim): void;
  /** The state has changed without a commit: a unit has moved. */
  changed(): void;
  /**
   * Brings the index up to the end of the log; false: the disk has no room for that. What is missing may come from the reserve if
   * `mayUseReserve`.
   */
  checkpoint(mayUseReserve: boolean): Promise<boolean>;
  readonly room: CleaningRoom;
}

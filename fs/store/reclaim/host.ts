/** What cleaning needs of the store that it works in. */
import type { Change } from "../change.ts";
import type { Log, LogPosition } from "../log.ts";
import type { Claim } from "../room.ts";
import type { SegmentFiles } from "../segment-files.ts";
import type { State } from "../state.ts";

export interface ReclaimHost {
  readonly state: State;
  readonly files: SegmentFiles;
  readonly log: Log;
  /** What a start would read begins here; undefined: at the log's beginning. */
  covered(): LogPosition | undefined;
  /** As Store.commit. */
  commit(changes: readonly Change[], claim: Claim): void;
  /** The state has changed without a commit: a unit has moved. */
  changed(): void;
  checkpoint(): Promise<void>;
}

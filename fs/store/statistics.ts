/** How much is in a store, in numbers that are kept up to date with every change. */
import type { SegmentFiles } from "./log/segment-files.ts";
import type { State } from "./state/state.ts";

export interface StoreStatistics {
  /** Exact up to 2^53. */
  readonly logicalBytes: number;
  readonly storedBytes: number;
  readonly sharedBytes: number;
  readonly units: number;
  readonly files: number;
  readonly directories: number;
  readonly segments: number;
  /** Length of all segment files. */
  readonly segmentBytes: number;
  /** Unit bytes in the log that nobody references. */
  readonly deadBytes: number;
  readonly pending: number;
  /** What a start after a crash would have to read now. */
  readonly indexLagBytes: number;
  readonly indexLagExtents: number;
}

/** `indexLagBytes`: of the log, behind the position that the index covers. */
export function statisticsOf(
  state: State,
  files: SegmentFiles,
  indexLagBytes: number,
): StoreStatistics {
  const { counters } = state;
  const segments = files.list();
  let segmentBytes = 0;
  for (const segment of segments) segmentBytes += files.length(segment);
  return {
    logicalBytes: Number(counters.logicalBytes),
    storedBytes: counters.storedBytes,
    sharedBytes: counters.sharedBytes,
    units: counters.units,
    files: counters.files,
    directories: counters.directories,
    segments: segments.length,
    segmentBytes,
    deadBytes: counters.unitBytes - counters.storedBytes,
    pending: state.pending.size,
    indexLagBytes,
    indexLagExtents: state.extentsChanged,
  };
}

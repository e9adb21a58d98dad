/** Where the bytes of a store's directory go (docs/SPACE.md), for `onespool stat`. */
import { lengthOf, lengthsIn } from "./disk/file-lengths.ts";
import { indexBytes } from "./index/index-bytes.ts";
import { logDirectory, reservePath, segmentNumber } from "./paths.ts";
import { liveMetadataBytes } from "./reclaim/space.ts";
import { isOffcut } from "./records/offcut.ts";
import type { State } from "./state/state.ts";

/** Deleted files that are looked at: the sum is a lower bound when there are more. */
const ORPHANS_MAX = 10_000;

export interface SpaceUse {
  /** What names, files and extents would take in the log if each were written once. */
  readonly liveMetadataBytes: number;
  /** Sizes of files that have no name any more and that a program has open, or that are on their way out. */
  readonly deletedOpenBytes: number;
  /** What truncations cut off files that are being written anew: kept for a while, to share bytes with what is written. */
  readonly cutOffBytes: number;
  /** Deliveries that wait for a lock. */
  readonly pendingBytes: number;
  /** Units that were written and that no file has yet. */
  readonly unlinkedBytes: number;
  /** Ends of segments that a start took off the log and kept (`*.cut-at-*`). */
  readonly tornBytes: number;
  readonly indexBytes: number;
  /** Kept back for when the disk is full. */
  readonly reserveBytes: number;
}

export function spaceUse(store: string, state: State): SpaceUse {
  let deletedOpenBytes = 0;
  let cutOffBytes = 0;
  let seen = 0;
  for (const ino of state.orphans) {
    if (++seen > ORPHANS_MAX) break;
    const inode = state.inode(ino);
    if (inode === undefined) continue;
    if (isOffcut(inode.mode)) cutOffBytes += inode.size;
    else deletedOpenBytes += inode.size;
  }
  let pendingBytes = 0;
  for (const { change } of state.pending.values()) {
    for (const { length } of change.extents) pendingBytes += length;
  }
  let unlinkedBytes = 0;
  for (const id of state.unlinked) unlinkedBytes += state.unit(id)?.length ?? 0;
  return {
    liveMetadataBytes: liveMetadataBytes(state.counters),
    deletedOpenBytes,
    cutOffBytes,
    pendingBytes,
    unlinkedBytes,
    tornBytes: lengthsIn(logDirectory(store), (name) => segmentNumber(name) === undefined),
    indexBytes: indexBytes(store),
    reserveBytes: lengthOf(reservePath(store)),
  };
}

/** How the state follows when the end of the log has gone to another segment (log/log-tail.ts). */
import type { MovedTail } from "../log/log-tail.ts";
import { storedLength } from "../records/chunks.ts";
import { placeOf } from "../records/place.ts";
import { bytesReferenced } from "./references.ts";
import type { State } from "./state.ts";
import { countUnitBytes } from "./unit-counting.ts";

/** A unit or an inode's snapshot that is in the log's moved part stands in the new segment. */
export function applyMovedTail(state: State, { segment, to, end, units, inodes }: MovedTail): void {
  state.moveTo(to, end);
  for (const { ino, from, to: offset } of inodes) {
    const inode = state.inode(ino);
    if (inode === undefined || inode.reset !== placeOf(segment, from)) continue;
    state.touch(inode);
    inode.reset = placeOf(to, offset);
  }
  for (const { id, chunks, from, to: position } of units) {
    const before = state.segmentUse(segment);
    state.touch(before);
    before.unitBytes -= storedLength(chunks);
    const after = countUnitBytes(state, { segment: to, chunks });
    state.counters.unitBytes -= storedLength(chunks);
    const unit = state.unit(id);
    if (unit === undefined || unit.segment !== segment || unit.position !== from) continue;
    const live = bytesReferenced(unit.runs, 1);
    before.liveBytes -= live;
    after.liveBytes += live;
    state.touch(unit);
    unit.segment = to;
    unit.position = position;
  }
}

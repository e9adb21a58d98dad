/**
 * Pages of a map that stand before their inode's snapshot, while the index is made from a log with gaps (rebuild.ts):
 * they and the changes between them make the beginning of a file, with attributes that the snapshot gives it.
 *
 * A page continues what there is. One at offset 0 begins; any other that does not fit is what is left of an older
 * attempt, and one at offset 0 follows.
 */
import { S_IFREG } from "../../attributes.ts";
import { StoreError } from "../errors.ts";
import type { Extent, InodeChange, MapChange } from "../records/change.ts";
import { apply } from "../state/apply.ts";
import type { State } from "../state/state.ts";

const NO_TIME = { sec: 0, nsec: 0 };
const NOTHING = Buffer.alloc(0);

export function applyEarlyPage(state: State, page: MapChange): void {
  const { ino, offset } = page;
  const inode = state.inode(ino);
  if (offset === 0) {
    if (inode === undefined) apply(state, newFile(ino));
    else if (inode.size > 0) splice(state, ino, 0, inode.size, []);
  } else if (inode?.size !== offset) {
    return;
  }
  apply(state, page);
}

/** As MapPrefix has it live: what changes behind the beginning of the file is for later pages to say. */
export function spliceEarly(
  state: State,
  ino: number,
  offset: number,
  remove: number,
  extents: readonly Extent[],
): void {
  const size = state.inode(ino)?.size ?? 0;
  if (offset < size) splice(state, ino, offset, Math.min(remove, size - offset), extents);
}

/** Throws STORE_DAMAGED for a page before which something is missing. */
export function checkContinues(state: State, { ino, offset }: MapChange): void {
  const size = state.inode(ino)?.size ?? 0;
  if (offset <= size) return;
  throw new StoreError(
    "STORE_DAMAGED",
    `the snapshot of inode ${ino} says nothing about its bytes from ${size} to ${offset}`,
  );
}

function splice(
  state: State,
  ino: number,
  offset: number,
  remove: number,
  extents: readonly Extent[],
): void {
  apply(state, { type: "splice", ino, offset, remove, extents });
}

/** Only files have a map. */
function newFile(ino: number): InodeChange {
  return {
    type: "inode",
    ino,
    mode: S_IFREG,
    uid: 0,
    gid: 0,
    nlink: 1,
    rdev: 0,
    atime: NO_TIME,
    mtime: NO_TIME,
    ctime: NO_TIME,
    parent: 0,
    target: NOTHING,
  };
}

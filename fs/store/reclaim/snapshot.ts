/**
 * An inode as changes that supersede all its earlier records: in one commit, or, when its map is a large one, in
 * several (MapSeries), so that nobody waits for all of it.
 */
import type { Change, Extent, InodeChange, MapChange } from "../records/change.ts";
import { isOffcut } from "../records/offcut.ts";
import type { Inode } from "../state/inode.ts";
import { MapPrefix } from "../state/map-prefix.ts";
import type { State } from "../state/state.ts";

/** Extents in one page of a map (docs/FORMAT.md). */
export const MAP_EXTENTS_MAX = 256;

/** All of it, of a file that has no more extents than that; undefined: it has. */
export function snapshotOf(inode: Inode, extentsMax: number): Change[] | undefined {
  const changes = attributesOf(inode);
  // What a truncation cut off a file does not outlive the next start.
  if (inode.size === 0 || isOffcut(inode.mode)) return changes;
  const extents = inode.tree.extentsFrom(0, extentsMax);
  if (lengthOf(extents) < inode.size) return undefined;
  return [...changes, ...pagesOf(inode.ino, 0, extents, true)];
}

/** About how much changes of a snapshot take in the log. */
export function weightOf(changes: readonly Change[]): number {
  let weight = 0;
  for (const change of changes) {
    weight += 60 + (change.type === "map" ? change.extents.length * 8 : 0);
  }
  return weight;
}

/**
 * A snapshot in several commits: pages of the map from its beginning on, and in the last commit the inode with the rest of
 * them. Between them anybody may change the file (MapPrefix). What was begun and not ended says only what was true.
 */
export class MapSeries {
  readonly #state: State;
  readonly #extentsMax: number;
  readonly #prefix: MapPrefix;
  /** Where the first pages stand. */
  #from: number | undefined;
  #isEnded = false;

  /** Whatever series was under way before is not gone on with. */
  constructor(state: State, ino: number, extentsMax: number) {
    this.#state = state;
    this.#extentsMax = extentsMax;
    this.#prefix = new MapPrefix(ino);
    state.mapPrefix = this.#prefix;
  }

  /** The next commit, to be made in this turn; undefined when there is none, or no such file any more. */
  next(): Change[] | undefined {
    const { ino, bytes: offset } = this.#prefix;
    const inode = this.#isEnded ? undefined : this.#state.inode(ino);
    if (inode === undefined) {
      this.#state.mapPrefix = undefined;
      return undefined;
    }
    const extents = inode.tree.extentsFrom(offset, this.#extentsMax);
    this.#isEnded = offset + lengthOf(extents) === inode.size;
    const pages = pagesOf(ino, offset, extents, this.#isEnded);
    return this.#isEnded ? [...attributesOf(inode, this.#from), ...pages] : pages;
  }

  /** What next() gave is in the log, and was the last thing in it. */
  wrote(changes: readonly Change[]): void {
    this.#from ??= this.#state.place;
    for (const change of changes) {
      if (change.type === "map") this.#prefix.bytes += lengthOf(change.extents);
    }
  }
}

/** At least one page, so that one is marked as the last. */
function pagesOf(
  ino: number,
  from: number,
  extents: readonly Extent[],
  isEnd: boolean,
): MapChange[] {
  const pages: MapChange[] = [];
  let offset = from;
  for (let k = 0; k === 0 || k < extents.length; k += MAP_EXTENTS_MAX) {
    const page = extents.slice(k, k + MAP_EXTENTS_MAX);
    const last = isEnd && k + MAP_EXTENTS_MAX >= extents.length;
    pages.push({ type: "map", ino, offset, extents: page, last });
    offset += lengthOf(page);
  }
  return pages;
}

function lengthOf(extents: readonly Extent[]): number {
  let length = 0;
  for (const extent of extents) length += extent.length;
  return length;
}

function attributesOf(inode: Inode, mapFrom?: number): Change[] {
  const { ino, mode, uid, gid, nlink, rdev, parent, target } = inode;
  const attributes: InodeChange = {
    type: "inode",
    ino,
    mode,
    uid,
    gid,
    nlink,
    rdev,
    atime: { sec: inode.atimeSec, nsec: inode.atimeNsec },
    mtime: { sec: inode.mtimeSec, nsec: inode.mtimeNsec },
    ctime: { sec: inode.ctimeSec, nsec: inode.ctimeNsec },
    parent,
    target,
    ...(mapFrom !== undefined && { mapFrom }),
  };
  const changes: Change[] = [attributes];
  for (const [name, value] of inode.xattrs ?? []) changes.push({ type: "xattr", ino, name, value });
  return changes;
}

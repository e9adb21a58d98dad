/** An inode as changes that supersede all its earlier records. */
import type { Change, Extent, InodeChange } from "../change.ts";
import type { Inode } from "../inode.ts";
import { isOffcut } from "../inode.ts";

/** Extents in one page of a map (docs/FORMAT.md). */
export const MAP_EXTENTS_MAX = 256;

export function snapshotOf(inode: Inode): Change[] {
  const changes: Change[] = [attributesOf(inode)];
  const { ino } = inode;
  for (const [name, value] of inode.xattrs ?? []) changes.push({ type: "xattr", ino, name, value });
  // What a truncation cut off a file does not outlive the next start.
  if (inode.size === 0 || isOffcut(inode.mode)) return changes;
  const extents = inode.tree.slice(0, inode.size);
  let offset = 0;
  for (let k = 0; k < extents.length; k += MAP_EXTENTS_MAX) {
    const page = extents.slice(k, k + MAP_EXTENTS_MAX);
    const last = k + MAP_EXTENTS_MAX >= extents.length;
    changes.push({ type: "map", ino, offset, extents: page, last });
    offset += lengthOf(page);
  }
  return changes;
}

function lengthOf(extents: readonly Extent[]): number {
  let length = 0;
  for (const extent of extents) length += extent.length;
  return length;
}

function attributesOf(inode: Inode): InodeChange {
  const { ino, mode, uid, gid, nlink, rdev, parent, target } = inode;
  return {
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
  };
}

/** Operations on ranges of a file that carry no bytes: fallocate(2) and copy_file_range(2). */
import type { Errno } from "../../base/errno.ts";
import { EFBIG, EINVAL, EOPNOTSUPP } from "../../base/errno.ts";
import type { Change, Extent } from "../store/records/change.ts";
import type { Inode } from "../store/state/inode.ts";
import type { Store } from "../store/store.ts";
import { HOLE_UNIT, resize, splice } from "./attributes.ts";
import type { FilesContext } from "./context.ts";
import { regularAt } from "./inodes.ts";
import { COPY_EXTENTS_MAX, COPY_LENGTH_MAX, FILE_SIZE_MAX } from "./limits.ts";

const FALLOC_FL_KEEP_SIZE = 0x01;
const FALLOC_FL_PUNCH_HOLE = 0x02;
const FALLOC_FL_ZERO_RANGE = 0x10;

/** Bytes of the source whose extents copyRange looks at in one go. */
const COPY_WINDOW = 16 * 1024 * 1024;

/**
 * Allocation reserves nothing: units are written when bytes are, to the end of the log, and a hole
 * takes no room. So a later write into an allocated range can still meet a full disk, which
 * posix_fallocate(3) promises it will not; every log-structured file system is in this position.
 */
export function allocate(
  context: FilesContext,
  ino: number,
  mode: number,
  offset: number,
  length: number,
): 0 | Errno {
  const inode = regularAt(context.store, ino);
  if (typeof inode === "number") return inode;
  if (offset < 0 || length <= 0) return EINVAL;
  if (offset + length > FILE_SIZE_MAX) return EFBIG;
  const keepSize = (mode & FALLOC_FL_KEEP_SIZE) !== 0;
  const clears = mode & ~FALLOC_FL_KEEP_SIZE;
  // Linux defines punching a hole only together with keeping the size.
  if (clears === FALLOC_FL_PUNCH_HOLE && !keepSize) return EOPNOTSUPP;
  if (clears !== 0 && clears !== FALLOC_FL_PUNCH_HOLE && clears !== FALLOC_FL_ZERO_RANGE) {
    return EOPNOTSUPP;
  }
  const changes: Change[] = [];
  const cleared = Math.min(offset + length, inode.size) - offset;
  if (clears !== 0 && cleared > 0) changes.push(splice(inode, offset, cleared, [hole(cleared)]));
  if (!keepSize && offset + length > inode.size) {
    const grown = resize(inode, offset + length);
    if (typeof grown === "number") return grown;
    if (grown !== undefined) changes.push(grown);
  }
  const sizeBefore = inode.size;
  const now = context.now();
  const times = changes.length > 0 ? { mtime: now, ctime: now } : { ctime: now };
  context.store.commit([...changes, { type: "attributes", ino, ...times }]);
  if (!keepSize) context.overwrites.resized(ino, sizeBefore, Math.max(sizeBefore, offset + length));
  return 0;
}

/**
 * Shares a range of one file with another, or within one: no byte is read or written. Answers with the
 * length copied, which may be less than asked for; 0 at the end of the source.
 */
export function copyRange(
  context: FilesContext,
  source: { readonly ino: number; readonly offset: number },
  target: { readonly ino: number; readonly offset: number },
  length: number,
): number | Errno {
  const { store } = context;
  const from = regularAt(store, source.ino);
  if (typeof from === "number") return from;
  const to = regularAt(store, target.ino);
  if (typeof to === "number") return to;
  if (source.offset < 0 || target.offset < 0 || length < 0) return EINVAL;
  const wanted = Math.min(length, from.size - source.offset, COPY_LENGTH_MAX);
  if (wanted <= 0) return 0;
  // copy_file_range(2): one file, but not onto itself.
  if (from.ino === to.ino && Math.abs(source.offset - target.offset) < wanted) return EINVAL;
  if (target.offset > FILE_SIZE_MAX - wanted) return EFBIG;
  const extents = collect(store, from.ino, source.offset, wanted);
  let copied = 0;
  for (const extent of extents) copied += extent.length;
  const now = context.now();
  store.commit([
    placeExtents(to, target.offset, copied, extents),
    { type: "attributes", ino: to.ino, mtime: now, ctime: now },
  ]);
  return copied;
}

/** The extents of a range, up to COPY_EXTENTS_MAX of them. */
function collect(store: Store, ino: number, offset: number, length: number): Extent[] {
  const extents: Extent[] = [];
  for (let done = 0; done < length && extents.length < COPY_EXTENTS_MAX;) {
    const window = store.extents(ino, offset + done, Math.min(COPY_WINDOW, length - done));
    for (const extent of window.slice(0, COPY_EXTENTS_MAX - extents.length)) {
      extents.push(extent);
      done += extent.length;
    }
  }
  return extents;
}

/** The splice that puts extents over `length` bytes at any offset, behind a hole if beyond the end. */
export function placeExtents(
  inode: Inode,
  offset: number,
  length: number,
  extents: readonly Extent[],
): ReturnType<typeof splice> {
  if (offset > inode.size) {
    return splice(inode, inode.size, 0, [hole(offset - inode.size), ...extents]);
  }
  return splice(inode, offset, Math.min(length, inode.size - offset), extents);
}

function hole(length: number): Extent {
  return { unit: HOLE_UNIT, offset: 0, length };
}

/**
 * setattr: chmod, chown, utimens and truncate, in any combination, as one change.
 * The kernel has checked who may, and clears set-id bits by asking for a new mode.
 */
import { assert } from "../../base/assert.ts";
import type { Errno } from "../../base/errno.ts";
import { EFBIG, EINVAL, EISDIR, ESTALE } from "../../base/errno.ts";
import type { AttributeChange, Attributes, Time } from "../attributes.ts";
import { isDirectory, isRegular, S_IFMT } from "../attributes.ts";
import type { AttributesChange, SpliceChange } from "../store/records/change.ts";
import type { Inode } from "../store/state/inode.ts";
import type { FilesContext } from "./context.ts";
import { attributesAt } from "./inodes.ts";
import { FILE_SIZE_MAX } from "./limits.ts";

/** Zeros that are stored nowhere. */
export const HOLE_UNIT = 0;

export function setAttributes(
  context: FilesContext,
  ino: number,
  change: AttributeChange,
): Attributes | Errno {
  const inode = context.store.inode(ino);
  if (inode === undefined) return ESTALE;
  const now = context.now();
  const attributes = attributesChange(inode, change, now);
  if (change.size === undefined) {
    context.store.commit([attributes]);
  } else {
    const refused = setSize(context, inode, change.size, attributes, now);
    if (refused !== 0) return refused;
  }
  // Content is not compared across owners.
  if (change.uid !== undefined || change.gid !== undefined) context.offcuts.end(ino);
  return attributesAt(context.store, ino);
}

function setSize(
  context: FilesContext,
  inode: Inode,
  size: number,
  attributes: AttributesChange,
  now: Time,
): 0 | Errno {
  const resized = resize(inode, size);
  if (typeof resized === "number") return resized;
  const { store, overwrites, offcuts } = context;
  const { ino, size: sizeBefore } = inode;
  if (!offcuts.truncate(inode, size, [attributes], now)) {
    store.commit(resized === undefined ? [attributes] : [resized, attributes]);
    offcuts.resized(ino, size);
  }
  overwrites.resized(ino, sizeBefore, size);
  return 0;
}

function attributesChange(inode: Inode, change: AttributeChange, now: Time): AttributesChange {
  const { mode, uid, gid, atime, mtime } = change;
  const ctime = change.ctime ?? now;
  // truncate(2): the modification time is set even if the size stays.
  const modified = mtime ?? (change.size === undefined ? undefined : now);
  return {
    type: "attributes",
    ino: inode.ino,
    ctime: ctime === "now" ? now : ctime,
    ...(mode === undefined ? {} : { mode: (inode.mode & S_IFMT) | (mode & 0o7777) }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    ...(atime === undefined ? {} : { atime: atime === "now" ? now : atime }),
    ...(modified === undefined ? {} : { mtime: modified === "now" ? now : modified }),
  };
}

/** The splice that gives a file this size: it ends earlier, or in a hole. undefined: it has it. */
export function resize(inode: Inode, size: number): SpliceChange | undefined | Errno {
  if (isDirectory(inode.mode)) return EISDIR;
  if (!isRegular(inode.mode) || size < 0) return EINVAL;
  if (size > FILE_SIZE_MAX) return EFBIG;
  if (size < inode.size) return splice(inode, size, inode.size - size, []);
  if (size > inode.size) return holeTo(inode, size);
  return undefined;
}

function holeTo(inode: Inode, size: number): SpliceChange {
  const length = size - inode.size;
  return splice(inode, inode.size, 0, [{ unit: HOLE_UNIT, offset: 0, length }]);
}

export function splice(
  inode: Inode,
  offset: number,
  remove: number,
  extents: SpliceChange["extents"],
): SpliceChange {
  assert(offset + remove <= inode.size, "a splice lies within the file");
  return { type: "splice", ino: inode.ino, offset, remove, extents };
}

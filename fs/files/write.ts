/**
 * write(2): new bytes become units, old bytes stay where they are, and the file's extents follow, as one
 * change. Copy on write by byte range: a unit that others share is never touched.
 *
 * Invariants:
 * - A unit that was written and then not named by the commit is dropped again.
 * - A program that moves messages within a mailbox, or writes again what it has cut off, must not be stopped half-way
 *   by a full disk: such a write may use the reserve (fs/store/disk/room.ts).
 * - O_APPEND writes at our own end of the file: the kernel's idea of it may be older than a delivery.
 */
import type { Errno } from "../../base/errno.ts";
import { EFBIG, EINVAL } from "../../base/errno.ts";
import type { WriteRequest, Written } from "../operations.ts";
import type { Change, SpliceChange } from "../store/records/change.ts";
import type { Store } from "../store/store.ts";
import type { FilesContext } from "./context.ts";
import { regularAt } from "./inodes.ts";
import { FILE_SIZE_MAX } from "./limits.ts";
import { O_APPEND, O_DSYNC } from "./open-flags.ts";
import { packPieces } from "./packing.ts";
import { placeExtents } from "./ranges.ts";

/** Bytes that a rewriting write may bring although they are more than half of it: edited headers. */
const NEW_BYTES_MIN = 4_096;

export function write(
  context: FilesContext,
  request: WriteRequest,
): Written | Promise<Written> | Errno {
  const { store } = context;
  const { ino, data } = request;
  const inode = regularAt(store, ino);
  if (typeof inode === "number") return inode;
  const append = (request.flags & O_APPEND) !== 0;
  const offset = append ? inode.size : request.offset;
  const { length } = data;
  if (offset < 0) return EINVAL;
  if (offset > FILE_SIZE_MAX - length) return EFBIG;
  const written = { offset, length };
  if (length === 0) return written;

  const units: number[] = [];
  const appended = (): SpliceChange =>
    placeExtents(inode, offset, 0, packPieces(store, [data], units).flat());
  const overwritten = (): SpliceChange | undefined =>
    context.overwrites.splice(inode, offset, data, units);
  try {
    const now = context.now();
    const changes: Change[] = [{ type: "attributes", ino, mtime: now, ctime: now }];
    const rewritten = context.offcuts.splice(inode, offset, data, units);
    const splice = rewritten ?? (append ? appended() : overwritten());
    if (splice !== undefined) changes.unshift(splice);
    const isWithin = rewritten !== undefined || (!append && offset + length <= inode.size);
    const claim = isWithin && hardlyNew(store, units, length) ? "rewrite" : undefined;
    store.commit(changes, claim);
  } catch (error) {
    for (const unit of units) store.dropUnit(unit);
    throw error;
  }
  // O_SYNC is O_DSYNC and another bit; we make no difference.
  if ((request.flags & O_DSYNC) === 0) return written;
  return store.durable().then(() => written);
}

function hardlyNew(store: Store, units: readonly number[], length: number): boolean {
  let bytes = 0;
  for (const unit of units) bytes += store.hasUnit(unit)?.length ?? 0;
  return bytes <= Math.max(NEW_BYTES_MIN, length / 2);
}

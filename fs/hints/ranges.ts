/**
 * The operations `share` and `remove`: ranges of files given to another file or taken out, without the
 * bytes being read or written.
 *
 * They change a file as write(2) does, for a caller who should hold a lock: another process's lock, for
 * reading too, or another user's dotlock, refuses them.
 */
import type { Time } from "../attributes.ts";
import { S_ISGID, S_ISUID } from "../attributes.ts";
import { dotlockOf } from "../delivery/dotlock.ts";
import { FILE_SIZE_MAX } from "../files/limits.ts";
import { MAY_READ, MAY_WRITE, mayAccess } from "../permissions.ts";
import type { Change, Extent } from "../store/records/change.ts";
import type { Inode } from "../store/state/inode.ts";
import type { HintsContext, Requester } from "./context.ts";
import type { Path } from "./fields.ts";
import type { Frame } from "./frame.ts";
import { SHARE_BYTES_MAX, SHARE_EXTENTS_MAX } from "./limits.ts";
import { notAFile, PathWalker } from "./path-walker.ts";
import type { Refusal } from "./refusals.ts";
import { isRefusal } from "./refusals.ts";
import type { Answer } from "./reply.ts";
import { readRemove, readShare } from "./request.ts";

/** Extents are collected in steps, so that a file of many small ones is refused early. */
const STEP_BYTES = 64 * 1024;

interface Found {
  readonly inode: Inode;
  readonly parent: number;
  readonly name: string;
}

export async function share(
  context: HintsContext,
  requester: Requester,
  frame: Frame,
): Promise<Answer | Refusal> {
  const request = readShare(frame);
  if (isRefusal(request)) return request;
  const { from, to } = request;
  // One walker: the limit on the parts of paths is the request's, and what it found stays.
  const walker = new PathWalker(context.store, requester.opener);
  const sources: Found[] = [];
  let length = 0;
  for (const range of from) {
    const source = find(walker, requester, range.path, MAY_READ);
    if (isRefusal(source)) return source;
    if (range.offset + range.length > source.inode.size) {
      return { reason: "rangeOutside", path: range.path.given };
    }
    length += range.length;
    if (length > SHARE_BYTES_MAX) return { reason: "shareTooLong", path: range.path.given };
    sources.push(source);
  }
  const target = find(walker, requester, to, MAY_WRITE);
  if (isRefusal(target)) return target;
  if (target.inode.size + length > FILE_SIZE_MAX) {
    return { reason: "fileTooLarge", path: to.given };
  }
  const now = context.now();
  if (isLockedByOthers(context, requester, target, now)) {
    return { reason: "locked", path: to.given };
  }
  const extents: Extent[] = [];
  for (const [index, range] of from.entries()) {
    const { ino } = (sources[index] as Found).inode;
    if (!collectExtents(context, ino, range.offset, range.length, extents)) {
      return { reason: "tooManyExtents", path: range.path.given };
    }
  }
  const { size } = target.inode;
  await commit(context, requester, target.inode, size, size, now, {
    type: "splice",
    ino: target.inode.ino,
    offset: size,
    remove: 0,
    extents,
  });
  return { offset: size, length };
}

export async function remove(
  context: HintsContext,
  requester: Requester,
  frame: Frame,
): Promise<Answer | Refusal> {
  const range = readRemove(frame);
  if (isRefusal(range)) return range;
  const { path, offset, length } = range;
  const walker = new PathWalker(context.store, requester.opener);
  const file = find(walker, requester, path, MAY_WRITE);
  if (isRefusal(file)) return file;
  if (offset + length > file.inode.size) return { reason: "rangeOutside", path: path.given };
  const now = context.now();
  if (isLockedByOthers(context, requester, file, now))
    return { reason: "locked", path: path.given };
  const size = file.inode.size - length;
  await commit(context, requester, file.inode, offset, size, now, {
    type: "splice",
    ino: file.inode.ino,
    offset,
    remove: length,
    extents: [],
  });
  return { size };
}

/** Adds the extents of a range; false when they are too many. */
function collectExtents(
  context: HintsContext,
  ino: number,
  offset: number,
  length: number,
  extents: Extent[],
): boolean {
  const end = offset + length;
  for (let at = offset; at < end; at += STEP_BYTES) {
    for (const extent of context.store.extents(ino, at, Math.min(STEP_BYTES, end - at))) {
      const last = extents.at(-1);
      if (last !== undefined && continues(last, extent)) {
        extents[extents.length - 1] = { ...last, length: last.length + extent.length };
      } else extents.push(extent);
    }
    if (extents.length > SHARE_EXTENTS_MAX) return false;
  }
  return true;
}

/** Holes (unit 0) continue each other wherever they are. */
function continues(first: Extent, next: Extent): boolean {
  if (first.unit !== next.unit) return false;
  return first.unit === 0 || first.offset + first.length === next.offset;
}

/** Durable, and seen by everybody, when it resolves. `value`: what the answer is made of. */
async function commit(
  context: HintsContext,
  requester: Requester,
  inode: Inode,
  changedFrom: number,
  value: number,
  now: Time,
  change: Change,
): Promise<void> {
  const { ino } = inode;
  const mode = inode.mode & ~(S_ISUID | S_ISGID);
  const attributes: Change = { type: "attributes", ino, mode, mtime: now, ctime: now };
  requester.commits(() => context.store.commit([change, attributes]), value);
  const told = context.invalidations.start(ino, changedFrom);
  await context.store.durable();
  await told;
}

function find(
  walker: PathWalker,
  requester: Requester,
  path: Path,
  wanted: typeof MAY_READ | typeof MAY_WRITE,
): Found | Refusal {
  const reason = walker.resolve(path.bytes) ?? notAFile(walker);
  if (reason !== undefined) return { reason, path: path.given };
  const inode = walker.inode as Inode;
  if (!mayAccess(inode, requester.opener, wanted)) {
    return { reason: wanted === MAY_READ ? "noRead" : "noWrite", path: path.given };
  }
  return { inode, parent: walker.parent, name: walker.name };
}

function isLockedByOthers(
  context: HintsContext,
  requester: Requester,
  file: Found,
  now: Time,
): boolean {
  const { inode, parent, name } = file;
  const { opener } = requester;
  if (context.locks.hasLocksOfOthers(inode.ino, opener.processId)) return true;
  const dotlock = dotlockOf(context.store, parent, name, inode, now.sec);
  return dotlock !== undefined && dotlock.uid !== opener.uid;
}

/**
 * What a change means: the only code that turns log records into state, live and in recovery. A change
 * was checked before it was written (validate.ts), so what does not fit here is a broken invariant.
 *
 * References: an extent that is added counts before one that is taken away, so a unit that moves
 * within one change never loses its last reference in between. A unit without references is removed at once.
 */
import { assert, assertNever } from "../../../base/assert.ts";
import { isDirectory, isRegular } from "../../attributes.ts";
import type {
  AttributesChange,
  Change,
  CutChange,
  DeliverChange,
  Extent,
  InodeChange,
  MapChange,
  NameChange,
  RemovedChange,
  SpliceChange,
  UnnameChange,
} from "../records/change.ts";
import { storedLength } from "../records/chunks.ts";
import { isOffcut } from "../records/offcut.ts";
import { hasSegment, union } from "../records/segment-set.ts";
import { Dentry } from "./dentry.ts";
import { Inode } from "./inode.ts";
import { Pending } from "./pending.ts";
import type { ReferenceEffect } from "./references.ts";
import { addReferences, bytesReferenced, isUnreferenced } from "./references.ts";
import type { State } from "./state.ts";
import { countUnitBytes, NOWHERE, rowForCounting } from "./unit-counting.ts";
import type { Unit } from "./unit.ts";

/** Names with this end may be locks on the mailbox without it (fs/delivery/dotlock.ts). */
export const DOTLOCK_SUFFIX = ".lock";

/** A file that is cut can have any number of extents; the other one gets so many of them at a time. */
const CUT_EXTENTS_AT_ONCE = 4_096;

export function apply(state: State, change: Change): void {
  switch (change.type) {
    case "inode":
      return applyInode(state, change);
    case "attributes":
      return applyAttributes(state, change);
    case "splice":
      return applySplice(state, change);
    case "cut":
      return applyCut(state, change);
    case "map":
      return applyMap(state, change);
    case "deliver":
      return applyDeliver(state, change);
    case "name":
      return applyName(state, change);
    case "unname":
      return applyUnname(state, change);
    case "dropInode":
      return applyDropInode(state, change.ino);
    case "xattr": {
      const inode = existing(state, change.ino);
      state.touch(inode);
      const xattrs = new Map(inode.xattrs);
      if (change.value === undefined) xattrs.delete(change.name);
      else xattrs.set(change.name, change.value);
      const before = inode.attributeBytes;
      inode.xattrs = xattrs.size === 0 ? undefined : xattrs;
      state.counters.attributeBytes += inode.attributeBytes - before;
      return;
    }
    case "pend": {
      // Cleaning writes it again while it waits.
      if (state.pending.has(change.id)) return;
      const pending = new Pending(change);
      state.touch(pending);
      state.pending.set(change.id, pending);
      state.counters.nextPending = Math.max(state.counters.nextPending, change.id + 1);
      state.numbered();
      referAll(state, change.extents, 1);
      return;
    }
    case "unpend": {
      const pending = state.pending.get(change.id);
      assert(pending !== undefined, `pending delivery ${change.id} is there`);
      state.touch(pending);
      pending.removed = true;
      state.pending.delete(change.id);
      referAll(state, pending.change.extents, -1);
      return;
    }
    case "absentName":
    case "absentInode":
    case "absentPending":
      return;
    case "removed":
      return applyRemoved(state, change);
    default:
      assertNever(change);
  }
}

/** A unit frame in the log. One of a known unit says where its bytes stand now. */
export function applyUnit(state: State, unit: Unit): void {
  const known = state.unit(unit.id);
  if (known === undefined) {
    addUnit(state, unit);
    return;
  }
  const live = bytesReferenced(known.runs, 1);
  const from = state.segmentUse(known.segment);
  state.touch(from);
  from.liveBytes -= live;
  countUnitBytes(state, unit).liveBytes += live;
  state.touch(known);
  known.move(unit.segment, unit.position, unit.chunks);
}

/** A unit whose id was never used before. */
export function addUnit(state: State, unit: Unit): void {
  countUnitBytes(state, unit);
  state.counters.nextUnit = Math.max(state.counters.nextUnit, unit.id + 1);
  state.touch(unit);
  state.units.set(unit.id, unit);
  state.unlinked.add(unit.id);
  state.counters.units++;
}

/** A unit that never came to stand in the log: its change was refused. */
export function dropUnwritten(state: State, id: number): void {
  const unit = state.unit(id);
  if (unit === undefined) return;
  const stored = storedLength(unit.chunks);
  const use = state.segmentUse(unit.segment);
  state.touch(use);
  use.unitBytes -= stored;
  state.counters.unitBytes -= stored;
  dropUnlinked(state, id);
}

/** A unit that nobody came to reference: its space in the log is dead. */
export function dropUnlinked(state: State, id: number): void {
  if (!state.unlinked.has(id)) return;
  const unit = state.unit(id);
  assert(unit !== undefined, `unlinked unit ${id} is there`);
  removeUnit(state, unit);
}

function applyInode(state: State, change: InodeChange): void {
  let inode = state.inode(change.ino);
  if (inode === undefined) {
    inode = new Inode(change.ino, state);
    // A number is used once, so a removed row with this number cannot be in memory.
    state.inodes.set(change.ino, inode);
    countInode(state, change.mode, 1);
  }
  state.touch(inode);
  inode.reset = change.mapFrom ?? state.place;
  const attributeBytes = inode.attributeBytes;
  inode.mode = change.mode;
  inode.uid = change.uid;
  inode.gid = change.gid;
  inode.rdev = change.rdev;
  inode.setAtime(change.atime);
  inode.setMtime(change.mtime);
  inode.setCtime(change.ctime);
  inode.parent = change.parent;
  inode.target = change.target;
  setLinkCount(state, inode, change.nlink);
  state.counters.attributeBytes += inode.attributeBytes - attributeBytes;
  state.counters.nextIno = Math.max(state.counters.nextIno, change.ino + 1);
  state.numbered();
}

function applyAttributes(state: State, change: AttributesChange): void {
  const inode = existing(state, change.ino);
  state.touch(inode);
  if (change.mode !== undefined) inode.mode = change.mode;
  if (change.uid !== undefined) inode.uid = change.uid;
  if (change.gid !== undefined) inode.gid = change.gid;
  if (change.nlink !== undefined) setLinkCount(state, inode, change.nlink);
  if (change.parent !== undefined) inode.parent = change.parent;
  if (change.atime !== undefined) inode.setAtime(change.atime);
  if (change.mtime !== undefined) inode.setMtime(change.mtime);
  if (change.ctime !== undefined) inode.setCtime(change.ctime);
}

function setLinkCount(state: State, inode: Inode, nlink: number): void {
  inode.nlink = nlink;
  if (nlink === 0) state.orphans.add(inode.ino);
  else state.orphans.delete(inode.ino);
}

function applySplice(state: State, change: SpliceChange): void {
  const inode = existing(state, change.ino);
  spliceInode(state, inode, change.offset, change.remove, change.extents);
}

function applyCut(state: State, change: CutChange): void {
  const inode = existing(state, change.ino);
  const to = existing(state, change.to);
  assert(to.size === 0, `inode ${change.to} is empty`);
  state.touch(inode);
  state.touch(to);
  const length = inode.size - change.offset;
  state.mapPrefix?.spliced(inode.ino, change.offset, length, 0);
  const moved = inode.tree.splice(change.offset, length, []);
  for (let k = 0; k < moved.length; k += CUT_EXTENTS_AT_ONCE) {
    to.tree.splice(to.size, 0, moved.slice(k, k + CUT_EXTENTS_AT_ONCE));
  }
  state.extentsChanged += 2 * moved.length;
  if (isRegular(inode.mode)) state.counters.logicalBytes -= BigInt(length);
  if (isRegular(to.mode)) state.counters.logicalBytes += BigInt(length);
}

function applyMap(state: State, change: MapChange): void {
  const inode = existing(state, change.ino);
  let length = 0;
  for (const extent of change.extents) length += extent.length;
  // Where nothing is missing, a snapshot says what is there already.
  if (
    inode.size >= change.offset + length &&
    (!change.last || inode.size === change.offset + length)
  ) {
    if (sameExtents(inode.tree.slice(change.offset, length), change.extents)) return;
  }
  const replaced = Math.min(length, inode.size - change.offset);
  const remove = change.last ? inode.size - change.offset : replaced;
  spliceInode(state, inode, change.offset, remove, change.extents);
}

function sameExtents(one: readonly Extent[], other: readonly Extent[]): boolean {
  return (
    one.length === other.length &&
    one.every((a, k) => {
      const b = other[k] as Extent;
      return a.unit === b.unit && a.offset === b.offset && a.length === b.length;
    })
  );
}

/** What stood in them has moved, or is dead. */
function applyRemoved(state: State, change: RemovedChange): void {
  const { counters } = state;
  state.removedSegments = union(state.removedSegments, change.segments);
  for (const use of state.segments.values()) {
    if (!hasSegment(change.segments, use.segment)) continue;
    assert(use.liveBytes === 0, `nothing in segment ${use.segment} is referenced`);
    counters.unitBytes -= use.unitBytes;
    state.touch(use);
    use.removed = true;
    state.segments.delete(use.segment);
  }
  counters.nextIno = Math.max(counters.nextIno, change.nextIno);
  counters.nextUnit = Math.max(counters.nextUnit, change.nextUnit);
  counters.nextPending = Math.max(counters.nextPending, change.nextPending);
}

function spliceInode(
  state: State,
  inode: Inode,
  offset: number,
  remove: number,
  extents: readonly Extent[],
): void {
  state.touch(inode);
  const before = inode.size;
  referAll(state, extents, 1);
  const removed = inode.tree.splice(offset, remove, extents);
  state.mapPrefix?.spliced(inode.ino, offset, remove, inode.size - before + remove);
  referAll(state, removed, -1);
  state.extentsChanged += extents.length + removed.length;
  if (isRegular(inode.mode)) state.counters.logicalBytes += BigInt(inode.size - before);
}

function applyDeliver(state: State, change: DeliverChange): void {
  const { shared, targets, time } = change;
  let ownUnit = 0;
  let ownStart = 0;
  let ownEnd = 0;
  let bytes = 0;
  for (const target of targets) {
    const inode = target.row?.dropped === false ? target.row : existing(state, target.ino);
    state.touch(inode);
    const before = inode.size;
    const own = target.private;
    if (own !== undefined) {
      if (own.unit !== ownUnit || own.offset !== ownEnd) {
        refer(state, ownUnit, ownStart, ownEnd - ownStart, 1);
        ownUnit = own.unit;
        ownStart = own.offset;
      }
      ownEnd = own.offset + own.length;
      inode.tree.append(own.unit, own.offset, own.length);
    }
    for (const extent of shared) inode.tree.append(extent.unit, extent.offset, extent.length);
    inode.setMtime(time);
    inode.setCtime(time);
    bytes += inode.size - before;
  }
  refer(state, ownUnit, ownStart, ownEnd - ownStart, 1);
  referAll(state, shared, targets.length);
  state.counters.logicalBytes += BigInt(bytes);
  state.extentsChanged += targets.length * (shared.length + 1);
}

function applyName(state: State, change: NameChange): void {
  const { parent, name, ino, fileType } = change;
  const directory = existing(state, parent);
  const known = state.dentryOrTombstone(parent, name);
  if (known !== undefined) {
    state.touch(known);
    known.ino = ino;
    known.fileType = fileType;
    if (!known.removed) return;
    known.removed = false;
    state.touch(directory);
    countEntry(state, directory, name, 1);
    return;
  }
  state.touch(directory);
  countEntry(state, directory, name, 1);
  directory.lastCookie++;
  const dentry = new Dentry(parent, name, directory.lastCookie, ino, fileType);
  state.dentries.set(dentry);
  state.touch(dentry);
}

function applyUnname(state: State, change: UnnameChange): void {
  const dentry = state.dentry(change.parent, change.name);
  assert(dentry !== undefined, `the name ${JSON.stringify(change.name)} is there`);
  state.touch(dentry);
  dentry.removed = true;
  const directory = existing(state, change.parent);
  state.touch(directory);
  countEntry(state, directory, change.name, -1);
}

function countEntry(state: State, directory: Inode, name: string, delta: number): void {
  state.counters.names += delta;
  state.counters.nameBytes += delta * name.length;
  directory.entryCount += delta;
  if (name.endsWith(DOTLOCK_SUFFIX)) directory.dotlockCount += delta;
}

function applyDropInode(state: State, ino: number): void {
  const inode = existing(state, ino);
  if (inode.size > 0) spliceInode(state, inode, 0, inode.size, []);
  state.touch(inode);
  inode.removed = true;
  state.counters.attributeBytes -= inode.attributeBytes;
  state.orphans.delete(ino);
  countInode(state, inode.mode, -1);
}

function countInode(state: State, mode: number, delta: number): void {
  if (isDirectory(mode)) state.counters.directories += delta;
  else if (!isOffcut(mode)) state.counters.files += delta;
}

function existing(state: State, ino: number): Inode {
  const inode = state.inode(ino);
  assert(inode !== undefined, `inode ${ino} is there`);
  return inode;
}

function referAll(state: State, extents: readonly Extent[], delta: number): void {
  for (const extent of extents) refer(state, extent.unit, extent.offset, extent.length, delta);
}

const effect: ReferenceEffect = { live: 0, shared: 0 };

function refer(state: State, id: number, offset: number, length: number, delta: number): void {
  if (id === 0 || length === 0 || delta === 0) return;
  const unit = state.rebuilding ? rowForCounting(state, id, offset + length) : state.unit(id);
  assert(unit !== undefined, `unit ${id} is there`);
  state.touch(unit);
  effect.live = 0;
  effect.shared = 0;
  unit.runs = addReferences(unit.runs, offset, length, delta, effect);
  state.counters.storedBytes += effect.live;
  state.counters.sharedBytes += effect.shared;
  if (effect.live !== 0 && unit.segment !== NOWHERE) {
    const use = state.segmentUse(unit.segment);
    state.touch(use);
    use.liveBytes += effect.live;
  }
  if (delta > 0) state.unlinked.delete(id);
  else if (isUnreferenced(unit.runs) && !state.rebuilding) removeUnit(state, unit);
}

/** A unit without references, at the end of a rebuild. */
export function removeUnit(state: State, unit: Unit): void {
  state.touch(unit);
  unit.removed = true;
  state.unlinked.delete(unit.id);
  state.counters.units--;
}

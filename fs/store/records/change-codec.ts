/**
 * The meta of a commit frame: changes as bytes (docs/FORMAT.md). The first byte of a change is its
 * tag; a tag that is not in the table is a newer format, and the store is refused.
 */
import { assertNever } from "../../../base/assert.ts";
import type { ByteReader, ByteWriter } from "../../../base/bytes.ts";
import { MalformedError } from "../../../base/bytes.ts";
import type { Time } from "../../attributes.ts";
import type {
  AttributesChange,
  Change,
  DeliverChange,
  DeliverTarget,
  Extent,
  InodeChange,
} from "./change.ts";
import { offsetOf, placeOf, segmentOf } from "./place.ts";

const TAG_INODE = 1;
const TAG_ATTRIBUTES = 2;
const TAG_SPLICE = 3;
const TAG_DELIVER = 4;
const TAG_NAME = 5;
const TAG_UNNAME = 6;
const TAG_DROP_INODE = 7;
const TAG_XATTR = 8;
const TAG_PEND = 9;
const TAG_UNPEND = 10;
const TAG_MAP = 11;
const TAG_CUT = 12;
const TAG_ABSENT_NAME = 13;
const TAG_ABSENT_INODE = 14;
const TAG_ABSENT_PENDING = 15;
const TAG_REMOVED = 16;
/** An inode with `mapFrom`. */
const TAG_MAPPED_INODE = 17;

const HAS_MODE = 1;
const HAS_UID = 2;
const HAS_GID = 4;
const HAS_NLINK = 8;
const HAS_PARENT = 16;
const HAS_ATIME = 32;
const HAS_MTIME = 64;
const HAS_CTIME = 128;

export function encodeChanges(out: ByteWriter, changes: readonly Change[]): void {
  out.varint(changes.length);
  for (const change of changes) encodeChange(out, change);
}

export function decodeChanges(from: ByteReader): Change[] {
  const changes: Change[] = [];
  for (let left = from.varint(); left > 0; left--) changes.push(decodeChange(from));
  if (from.left !== 0) throw new MalformedError(`${from.left} bytes behind the last change`);
  return changes;
}

function encodeChange(out: ByteWriter, change: Change): void {
  switch (change.type) {
    case "inode":
      out.u8(change.mapFrom === undefined ? TAG_INODE : TAG_MAPPED_INODE);
      encodeInode(out, change);
      return;
    case "attributes":
      out.u8(TAG_ATTRIBUTES);
      encodeAttributes(out, change);
      return;
    case "splice":
      out.u8(TAG_SPLICE);
      out.varint(change.ino);
      out.varint(change.offset);
      out.varint(change.remove);
      encodeExtents(out, change.extents);
      return;
    case "cut":
      out.u8(TAG_CUT);
      out.varint(change.ino);
      out.varint(change.offset);
      out.varint(change.to);
      return;
    case "map":
      out.u8(TAG_MAP);
      out.varint(change.ino);
      out.varint(change.offset);
      encodeExtents(out, change.extents);
      out.u8(change.last ? 1 : 0);
      return;
    case "deliver":
      out.u8(TAG_DELIVER);
      encodeDeliver(out, change);
      return;
    case "name":
      out.u8(TAG_NAME);
      out.varint(change.parent);
      out.text(change.name);
      out.varint(change.ino);
      out.varint(change.fileType);
      out.varint(change.before ?? 0);
      return;
    case "unname":
      out.u8(TAG_UNNAME);
      out.varint(change.parent);
      out.text(change.name);
      out.varint(change.before ?? 0);
      return;
    case "dropInode":
      out.u8(TAG_DROP_INODE);
      out.varint(change.ino);
      return;
    case "xattr":
      out.u8(TAG_XATTR);
      out.varint(change.ino);
      out.text(change.name);
      out.u8(change.value === undefined ? 0 : 1);
      if (change.value !== undefined) out.bytes(change.value);
      return;
    case "pend":
      out.u8(TAG_PEND);
      out.varint(change.id);
      out.varint(change.parent);
      out.text(change.name);
      encodeTime(out, change.time);
      out.varint(change.mode);
      out.varint(change.uid);
      out.varint(change.gid);
      encodeExtents(out, change.extents);
      return;
    case "unpend":
      out.u8(TAG_UNPEND);
      out.varint(change.id);
      return;
    case "absentName":
      out.u8(TAG_ABSENT_NAME);
      out.varint(change.parent);
      out.text(change.name);
      out.varint(change.ino);
      out.varint(change.last);
      return;
    case "absentInode":
      out.u8(TAG_ABSENT_INODE);
      out.varint(change.ino);
      out.varint(change.last);
      return;
    case "absentPending":
      out.u8(TAG_ABSENT_PENDING);
      out.varint(change.id);
      out.varint(change.last);
      return;
    case "removed":
      out.u8(TAG_REMOVED);
      out.varint(change.segments.length);
      for (const number of change.segments) out.varint(number);
      out.varint(change.nextIno);
      out.varint(change.nextUnit);
      out.varint(change.nextPending);
      return;
    default:
      assertNever(change);
  }
}

function decodeChange(from: ByteReader): Change {
  const tag = from.u8();
  switch (tag) {
    case TAG_INODE:
      return decodeInode(from);
    case TAG_MAPPED_INODE: {
      const inode = decodeInode(from);
      const segment = from.varint();
      return { ...inode, mapFrom: placeOf(segment, from.varint()) };
    }
    case TAG_ATTRIBUTES:
      return decodeAttributes(from);
    case TAG_SPLICE:
      return {
        type: "splice",
        ino: from.varint(),
        offset: from.varint(),
        remove: from.varint(),
        extents: decodeExtents(from),
      };
    case TAG_CUT:
      return { type: "cut", ino: from.varint(), offset: from.varint(), to: from.varint() };
    case TAG_MAP:
      return {
        type: "map",
        ino: from.varint(),
        offset: from.varint(),
        extents: decodeExtents(from),
        last: from.u8() === 1,
      };
    case TAG_DELIVER:
      return decodeDeliver(from);
    case TAG_NAME:
      return {
        type: "name",
        parent: from.varint(),
        name: from.text(),
        ino: from.varint(),
        fileType: from.varint(),
        ...former(from.varint()),
      };
    case TAG_UNNAME:
      return {
        type: "unname",
        parent: from.varint(),
        name: from.text(),
        ...former(from.varint()),
      };
    case TAG_DROP_INODE:
      return { type: "dropInode", ino: from.varint() };
    case TAG_XATTR: {
      const ino = from.varint();
      const name = from.text();
      return {
        type: "xattr",
        ino,
        name,
        value: from.u8() === 1 ? Buffer.from(from.bytes()) : undefined,
      };
    }
    case TAG_PEND:
      return {
        type: "pend",
        id: from.varint(),
        parent: from.varint(),
        name: from.text(),
        time: decodeTime(from),
        mode: from.varint(),
        uid: from.varint(),
        gid: from.varint(),
        extents: decodeExtents(from),
      };
    case TAG_UNPEND:
      return { type: "unpend", id: from.varint() };
    case TAG_ABSENT_NAME:
      return {
        type: "absentName",
        parent: from.varint(),
        name: from.text(),
        ino: from.varint(),
        last: from.varint(),
      };
    case TAG_ABSENT_INODE:
      return { type: "absentInode", ino: from.varint(), last: from.varint() };
    case TAG_ABSENT_PENDING:
      return { type: "absentPending", id: from.varint(), last: from.varint() };
    case TAG_REMOVED:
      return {
        type: "removed",
        segments: Array.from({ length: from.varint() }, () => from.varint()),
        nextIno: from.varint(),
        nextUnit: from.varint(),
        nextPending: from.varint(),
      };
    default:
      throw new MalformedError(`change with tag ${tag}`);
  }
}

function former(before: number): { before?: number } {
  return before === 0 ? {} : { before };
}

function encodeTime(out: ByteWriter, time: Time): void {
  out.signed(time.sec);
  out.varint(time.nsec);
}

function decodeTime(from: ByteReader): Time {
  return { sec: from.signed(), nsec: from.varint() };
}

function encodeInode(out: ByteWriter, change: InodeChange): void {
  out.varint(change.ino);
  out.varint(change.mode);
  out.varint(change.uid);
  out.varint(change.gid);
  out.varint(change.nlink);
  out.varint(change.rdev);
  encodeTime(out, change.atime);
  encodeTime(out, change.mtime);
  encodeTime(out, change.ctime);
  out.varint(change.parent);
  out.bytes(change.target);
  if (change.mapFrom === undefined) return;
  out.varint(segmentOf(change.mapFrom));
  out.varint(offsetOf(change.mapFrom));
}

function decodeInode(from: ByteReader): InodeChange {
  return {
    type: "inode",
    ino: from.varint(),
    mode: from.varint(),
    uid: from.varint(),
    gid: from.varint(),
    nlink: from.varint(),
    rdev: from.varint(),
    atime: decodeTime(from),
    mtime: decodeTime(from),
    ctime: decodeTime(from),
    parent: from.varint(),
    target: Buffer.from(from.bytes()),
  };
}

function encodeAttributes(out: ByteWriter, change: AttributesChange): void {
  let has = 0;
  if (change.mode !== undefined) has |= HAS_MODE;
  if (change.uid !== undefined) has |= HAS_UID;
  if (change.gid !== undefined) has |= HAS_GID;
  if (change.nlink !== undefined) has |= HAS_NLINK;
  if (change.parent !== undefined) has |= HAS_PARENT;
  if (change.atime !== undefined) has |= HAS_ATIME;
  if (change.mtime !== undefined) has |= HAS_MTIME;
  if (change.ctime !== undefined) has |= HAS_CTIME;
  out.varint(change.ino);
  out.u8(has);
  if (change.mode !== undefined) out.varint(change.mode);
  if (change.uid !== undefined) out.varint(change.uid);
  if (change.gid !== undefined) out.varint(change.gid);
  if (change.nlink !== undefined) out.varint(change.nlink);
  if (change.parent !== undefined) out.varint(change.parent);
  if (change.atime !== undefined) encodeTime(out, change.atime);
  if (change.mtime !== undefined) encodeTime(out, change.mtime);
  if (change.ctime !== undefined) encodeTime(out, change.ctime);
}

function decodeAttributes(from: ByteReader): AttributesChange {
  const ino = from.varint();
  const has = from.u8();
  return {
    type: "attributes",
    ino,
    ...(has & HAS_MODE && { mode: from.varint() }),
    ...(has & HAS_UID && { uid: from.varint() }),
    ...(has & HAS_GID && { gid: from.varint() }),
    ...(has & HAS_NLINK && { nlink: from.varint() }),
    ...(has & HAS_PARENT && { parent: from.varint() }),
    ...(has & HAS_ATIME && { atime: decodeTime(from) }),
    ...(has & HAS_MTIME && { mtime: decodeTime(from) }),
    ...(has & HAS_CTIME && { ctime: decodeTime(from) }),
  };
}

/** Unit ids as differences: neighbours in a file were mostly written one after the other. */
function encodeExtents(out: ByteWriter, extents: readonly Extent[]): void {
  out.varint(extents.length);
  let unit = 0;
  for (const extent of extents) {
    out.signed(extent.unit - unit);
    out.varint(extent.offset);
    out.varint(extent.length);
    unit = extent.unit;
  }
}

function decodeExtents(from: ByteReader): Extent[] {
  const extents: Extent[] = [];
  let unit = 0;
  for (let left = from.varint(); left > 0; left--) {
    unit += from.signed();
    extents.push({ unit, offset: from.varint(), length: from.varint() });
  }
  return extents;
}

/** Inodes and private extents as differences: consecutive slices of one unit take two bytes. */
function encodeDeliver(out: ByteWriter, change: DeliverChange): void {
  encodeTime(out, change.time);
  encodeExtents(out, change.shared);
  out.varint(change.targets.length);
  let unit = 0;
  let end = 0;
  for (const target of change.targets) {
    out.varint(target.ino);
    const own = target.private;
    out.varint(own?.length ?? 0);
    if (own === undefined) continue;
    out.signed(own.unit - unit);
    out.signed(own.offset - end);
    unit = own.unit;
    end = own.offset + own.length;
  }
}

function decodeDeliver(from: ByteReader): DeliverChange {
  const time = decodeTime(from);
  const shared = decodeExtents(from);
  const targets: DeliverTarget[] = [];
  let unit = 0;
  let end = 0;
  for (let left = from.varint(); left > 0; left--) {
    const ino = from.varint();
    const length = from.varint();
    if (length === 0) {
      targets.push({ ino, private: undefined });
      continue;
    }
    unit += from.signed();
    const offset = end + from.signed();
    end = offset + length;
    targets.push({ ino, private: { unit, offset, length } });
  }
  return { type: "deliver", time, shared, targets };
}

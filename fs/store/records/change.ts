/**
 * The changes that a commit record carries, as plain data. One list of them is one atomic change;
 * `apply` (fs/store/state/apply.ts) is the only code that turns them into state, live and in recovery.
 * They say results, not intentions: a rename is an unname, a name and two attribute changes.
 */
import type { Time } from "../../attributes.ts";
import type { Inode } from "../state/inode.ts";
import type { SegmentSet } from "./segment-set.ts";

/** `length` bytes from `offset` of a unit. Unit 0 is a hole: zeros that are stored nowhere. */
export interface Extent {
  readonly unit: number;
  readonly offset: number;
  readonly length: number;
}

/** A new inode, or a snapshot of one without its extents: it supersedes all earlier attributes. */
export interface InodeChange {
  readonly type: "inode";
  readonly ino: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  readonly rdev: number;
  readonly atime: Time;
  readonly mtime: Time;
  readonly ctime: Time;
  /** Directories: the inode of the parent. Others: 0. */
  readonly parent: number;
  /** Symbolic links: the target. Others: empty. */
  readonly target: Buffer;
  /**
   * The end of a snapshot in several commits: the place (placeOf) of the first one, which has the first pages of the
   * map. Absent: all pages follow in this commit.
   */
  readonly mapFrom?: number;
}

/** Absolute values; what is absent stays. nlink 0 makes the inode an orphan (open or in the kernel's memory). */
export interface AttributesChange {
  readonly type: "attributes";
  readonly ino: number;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly nlink?: number;
  readonly parent?: number;
  readonly atime?: Time;
  readonly mtime?: Time;
  readonly ctime?: Time;
}

/** Replaces `remove` bytes at `offset` of a file by extents; the size follows. offset + remove <= size. */
export interface SpliceChange {
  readonly type: "splice";
  readonly ino: number;
  readonly offset: number;
  readonly remove: number;
  readonly extents: readonly Extent[];
}

/**
 * What stands from `offset` on in a file becomes the content of `to`, which is empty; the file ends at
 * `offset`. No reference changes, so that it costs less than to cut the bytes off for good.
 */
export interface CutChange {
  readonly type: "cut";
  readonly ino: number;
  readonly offset: number;
  readonly to: number;
}

/**
 * A snapshot of a page of a file's extent map (at most 256 extents), in ascending order: the bytes from `offset` on are
 * these extents, and the file ends behind the last page. The inode's snapshot stands before all of them, or, with
 * `mapFrom`, before those of the last commit.
 */
export interface MapChange {
  readonly type: "map";
  readonly ino: number;
  readonly offset: number;
  readonly extents: readonly Extent[];
  readonly last: boolean;
}

/** Appends private bytes and then the shared extents to each of many files, and sets mtime and ctime. */
export interface DeliverChange {
  readonly type: "deliver";
  readonly time: Time;
  readonly shared: readonly Extent[];
  readonly targets: readonly DeliverTarget[];
}

export interface DeliverTarget {
  readonly ino: number;
  /** The bytes before the shared ones; undefined when there are none. */
  readonly private: Extent | undefined;
  /** The inode's row, if the caller found it in this turn: spares looking it up again. Not in the record. */
  readonly row?: Inode;
}

export interface NameChange {
  readonly type: "name";
  readonly parent: number;
  readonly name: string;
  readonly ino: number;
  /** S_IFMT bits. */
  readonly fileType: number;
  /** The inode that had the name; the store fills it in. Whoever cleans the record away must know it. */
  readonly before?: number;
}

export interface UnnameChange {
  readonly type: "unname";
  readonly parent: number;
  readonly name: string;
  /** The inode that had the name; the store fills it in. */
  readonly before?: number;
}

/** Nothing refers to the inode any more: a deletion record. Its extents must be gone before. */
export interface DropInodeChange {
  readonly type: "dropInode";
  readonly ino: number;
}

export interface XattrChange {
  readonly type: "xattr";
  readonly ino: number;
  readonly name: string;
  /** undefined removes it. */
  readonly value: Buffer | undefined;
}

/** A delivery that waits for a lock: it belongs to the name, whatever file has it then. */
export interface PendChange {
  readonly type: "pend";
  readonly id: number;
  readonly parent: number;
  readonly name: string;
  readonly time: Time;
  /** For a mailbox that has to be created when the delivery shows. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly extents: readonly Extent[];
}

/** The pending delivery is done (a splice in the same commit put it into a file) or dropped. */
export interface UnpendChange {
  readonly type: "unpend";
  readonly id: number;
}

/**
 * Deletion records, written again by cleaning: they change nothing in a state that has followed the log. In a log
 * with gaps they undo what they name. Each is kept as long as a segment up to `last`, where the
 * deletion itself stood, may hold what it deletes.
 */
export type AbsentChange = AbsentNameChange | AbsentInodeChange | AbsentPendingChange;

/** The name does not stand for this inode, which is there. */
export interface AbsentNameChange {
  readonly type: "absentName";
  readonly parent: number;
  readonly name: string;
  readonly ino: number;
  readonly last: number;
}

export interface AbsentInodeChange {
  readonly type: "absentInode";
  readonly ino: number;
  readonly last: number;
}

export interface AbsentPendingChange {
  readonly type: "absentPending";
  readonly id: number;
  readonly last: number;
}

/** These segments hold nothing that is current, and their files may go: all that ever did. Numbers below the `next` ones were given out. */
export interface RemovedChange {
  readonly type: "removed";
  readonly segments: SegmentSet;
  readonly nextIno: number;
  readonly nextUnit: number;
  readonly nextPending: number;
}

export type Change =
  | AbsentChange
  | RemovedChange
  | InodeChange
  | AttributesChange
  | SpliceChange
  | CutChange
  | MapChange
  | DeliverChange
  | NameChange
  | UnnameChange
  | DropInodeChange
  | XattrChange
  | PendChange
  | UnpendChange;

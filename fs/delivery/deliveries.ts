/**
 * Appends messages to mailboxes: to all that a delivery names or to none, durable when it is answered.
 *
 * A delivery never waits for a lock and never changes a mailbox under one. While another program has a
 * lock (fcntl, flock) on the mailbox or a valid dotlock stands beside it, the delivery pends on the
 * mailbox's *name*: it is durable and acknowledged at once, and shows when the name is free. Locks for reading
 * count: who has one relies on the file's end (docs/decisions/012-read-locks-count.md).
 *
 *     | what the name has then    | where the pending deliveries show                              |
 *     | ------------------------- | -------------------------------------------------------------- |
 *     | a free regular file       | at its end, in the order of their arrival                      |
 *     | nothing                   | in a new mailbox with the owner and mode remembered            |
 *     | a locked file             | nowhere yet: when its last lock goes                           |
 *     | a file which the mailbox's owner may not write | nowhere yet: or a link put in the mailbox's place would lead into somebody else's |
 *     | a link, a directory, ...  | nowhere yet: when the name is free or a regular file again     |
 *     | a file of nearly 2^53 bytes | nowhere yet: when it is shorter                              |
 *     | its directory is gone     | dropped                                                        |
 *
 * Invariants:
 * - what pends on a name shows before anything that arrives later for it;
 * - the names that wait are those of the store's pending deliveries;
 * - deliver() decides and commits without giving way, so that no lock can come in between;
 * - a pending delivery is taken off in the same commit that puts it into a file.
 * Not here: paths and rights (fs/hints/).
 */
import { assert } from "../../base/assert.ts";
import type { Time } from "../attributes.ts";
import { isDirectory, isRegular, S_IFREG, S_ISGID, S_ISUID } from "../attributes.ts";
import { FILE_SIZE_MAX } from "../files/limits.ts";
import type { LockTable } from "../locks/table.ts";
import { MAY_WRITE, mayAccess } from "../permissions.ts";
import type { Change, DeliverTarget, Extent, PendChange } from "../store/records/change.ts";
import { StoreError } from "../store/errors.ts";
import type { Inode } from "../store/state/inode.ts";
import type { PendingDelivery } from "../store/state/pending.ts";
import type { Store } from "../store/store.ts";
import { isDotlocked, mailboxOfDotlock, mayHaveDotlocks } from "./dotlock.ts";
import type { Invalidations } from "./invalidations.ts";
import type { Layout } from "./layout.ts";
import { addSharedExtents, layOut, sharedExtentCount } from "./layout.ts";
import type { PendingLimits } from "./pending-limits.ts";
import { pendingLimits, PendingRoom } from "./pending-limits.ts";
import { WaitingNames } from "./waiting.ts";
import type { Waiting } from "./waiting.ts";

/** Pending deliveries that one commit shows, and their extents (but for a single one with more). */
const SHOWN_AT_ONCE_MAX = 256;
const SHOWN_EXTENTS_AT_ONCE_MAX = 65_536;
/** Names that one tick looks at: a hundred thousand forgotten dotlocks must not hold everybody up. */
const NAMES_PER_TICK_MAX = 2_048;

const NO_TARGET = Buffer.alloc(0);

/** Permission bits and owner of a mailbox that has to be made. */
export interface Ownership {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** A mailbox as it was found in the same turn of the event loop. */
export interface Mailbox {
  readonly parent: number;
  readonly name: string;
  /** A regular file; undefined when the name is free. */
  readonly inode: Inode | undefined;
  /** Needed when the name is free. */
  readonly create: Ownership | undefined;
}

export interface Delivery {
  /** The shared bytes and then each mailbox's private ones. It is kept: nobody may change it any more. */
  readonly body: Buffer;
  readonly sharedLength: number;
  /** What every mailbox gets: runs of the body's shared bytes (in order), and extents of other units. */
  readonly shared: readonly (number | readonly Extent[])[];
  /** If not empty: for each mailbox but the first, bytes of its own that it gets in place of the shared ones. */
  readonly copies: readonly (readonly Extent[])[];
  readonly mailboxes: readonly Mailbox[];
  readonly privateLengths: readonly number[];
}

export type DeliveryResult =
  | { readonly delivered: number; readonly pending: number }
  | {
      readonly refused: "fileNamedTwice" | "fileTooLarge" | "tooManyPending";
      /** Of the mailbox that is the cause. */
      readonly index: number;
    };

export interface DeliveriesOptions {
  readonly store: Store;
  readonly locks: LockTable;
  readonly invalidations: Invalidations;
  readonly now: () => Time;
  readonly limits?: PendingLimits;
}

export class Deliveries {
  readonly #store: Store;
  readonly #locks: LockTable;
  readonly #invalidations: Invalidations;
  readonly #now: () => Time;
  readonly #limits: PendingLimits;
  readonly #waiting = new WaitingNames();
  /** Names that tick() has still to look at before it begins again; some may wait no longer. */
  #turn: Waiting[] = [];
  /** Marks the inodes of one delivery, to notice one that is named twice. */
  #lastMark = 0;

  constructor(options: DeliveriesOptions) {
    this.#store = options.store;
    this.#locks = options.locks;
    this.#invalidations = options.invalidations;
    this.#now = options.now;
    this.#limits = options.limits ?? pendingLimits;
  }

  /** Once, before anything else: finds what pends since before, and shows what is free now. */
  start(): void {
    for (const delivery of this.#store.allPending()) this.#waiting.add(delivery);
    for (const waiting of this.#waiting.all()) this.#show(waiting);
  }

  /** Mailboxes with pending deliveries. */
  get pendingNameCount(): number {
    return this.#waiting.size;
  }

  /** Age of the delivery that has waited longest for a lock; 0 when none waits. */
  get oldestPendingSeconds(): number {
    const oldest = this.#waiting.oldest;
    return oldest === undefined ? 0 : Math.max(0, this.#now().sec - oldest.sec);
  }

  /** Whether a name of the directory has pending deliveries: such a directory is not empty. */
  hasPendingIn(parent: number): boolean {
    return this.#waiting.hasIn(parent);
  }

  /** The last lock on an inode has gone. */
  unlocked(ino: number): void {
    for (const waiting of this.#waiting.waitingFor(ino)) this.#show(waiting);
  }

  /** A name was made, removed, or means another file: a dotlock may have gone, a mailbox may be another. */
  nameChanged(parent: number, name: string): void {
    if (this.#waiting.size === 0) return;
    const waiting = this.#waiting.get(parent, name);
    if (waiting !== undefined) this.#show(waiting);
    const mailbox = mailboxOfDotlock(name);
    const locked = mailbox === undefined ? undefined : this.#waiting.get(parent, mailbox);
    if (locked !== undefined) this.#show(locked);
  }

  /**
   * Every few seconds: dotlocks grow too old, owners and modes change, a full disk is emptied. Where very
   * many names wait they are looked at in turns.
   */
  tick(): void {
    if (this.#turn.length === 0) this.#turn = this.#waiting.all();
    for (const waiting of this.#turn.splice(0, NAMES_PER_TICK_MAX)) this.#show(waiting);
  }

  /** Throws StoreError; then nothing has changed, unless it was the sync that failed. */
  async deliver(delivery: Delivery): Promise<DeliveryResult> {
    const { mailboxes } = delivery;
    const time = this.#now();
    const held = new Uint8Array(mailboxes.length);
    const layout = layOut(delivery.body, delivery.sharedLength, delivery.privateLengths);
    const refused = this.#hold(delivery, layout, time, held);
    if (refused !== undefined) return refused;

    const ids: number[] = [];
    const changes: Change[] = [];
    const pends: PendChange[] = [];
    const notices: number[] = [];
    try {
      for (const unit of layout.units) {
        ids.push(this.#store.writeUnit(unit.parts, unit.chunkLengths));
      }
      this.#plan(delivery, layout, ids, held, time, changes, pends, notices);
      this.#store.commit(changes);
    } catch (error) {
      if (error instanceof StoreError) for (const id of ids) this.#store.dropUnit(id);
      throw error;
    }
    for (const pend of pends) this.#wait(this.#waiting.add(pend));
    const told = new Set<Promise<void>>();
    for (let k = 0; k < notices.length; k += 2) {
      const done = this.#invalidations.start(notices[k] as number, notices[k + 1] as number);
      if (done !== undefined) told.add(done);
    }
    await this.#store.durable();
    if (told.size > 0) await Promise.all(told);
    return { delivered: mailboxes.length, pending: pends.length };
  }

  /** Finds out which unlock the name waits for, if for one. */
  #wait(waiting: Waiting): void {
    const ino = this.#store.lookup(waiting.parent, waiting.name);
    this.#waiting.waitFor(waiting, ino !== 0 && this.#locks.hasLocks(ino) ? ino : 0);
  }

  /** Marks the mailboxes that must not be changed now, or tells why the delivery is impossible. */
  #hold(
    delivery: Delivery,
    layout: Layout,
    time: Time,
    held: Uint8Array,
  ): DeliveryResult | undefined {
    const { mailboxes, privateLengths } = delivery;
    const names = new Set<string>();
    const room = new PendingRoom(this.#limits, this.#waiting);
    const mark = ++this.#lastMark;
    let lastParent = 0;
    let dotlocksPossible = false;
    const { length, extentCount } = sharedSize(delivery, layout);
    for (let index = 0; index < mailboxes.length; index++) {
      const mailbox = mailboxes[index] as Mailbox;
      const { parent, name, inode } = mailbox;
      if (inode === undefined) {
        const key = `${parent}/${name}`;
        if (names.has(key)) return { refused: "fileNamedTwice", index };
        names.add(key);
      } else {
        if (inode.mark === mark) return { refused: "fileNamedTwice", index };
        inode.mark = mark;
        if (inode.size + length + (privateLengths[index] as number) > FILE_SIZE_MAX) {
          return { refused: "fileTooLarge", index };
        }
      }
      if (parent !== lastParent) {
        lastParent = parent;
        dotlocksPossible = mayHaveDotlocks(this.#store, parent);
      }
      const waiting = this.#waiting.size === 0 ? undefined : this.#waiting.get(parent, name);
      if (
        waiting === undefined &&
        !(inode !== undefined && this.#locks.hasLocks(inode.ino)) &&
        !(dotlocksPossible && this.#dotlocked(mailbox, time))
      ) {
        continue;
      }
      const ownCount = privateLengths[index] === 0 ? 0 : 1;
      const copy = index === 0 ? undefined : delivery.copies[index - 1];
      if (!room.take(waiting, (copy?.length ?? extentCount) + ownCount))
        return { refused: "tooManyPending", index };
      held[index] = 1;
    }
    return undefined;
  }

  #dotlocked(mailbox: Mailbox, time: Time): boolean {
    const { parent, name, inode } = mailbox;
    const owner = inode ?? (mailbox.create as Ownership);
    return isDotlocked(this.#store, parent, name, owner, time.sec);
  }

  /** The changes of a delivery, and pairs of inode and offset of which the kernel has to be told. */
  #plan(
    delivery: Delivery,
    layout: Layout,
    ids: readonly number[],
    held: Uint8Array,
    time: Time,
    changes: Change[],
    pends: PendChange[],
    notices: number[],
  ): void {
    const { mailboxes, privateLengths } = delivery;
    const shared: Extent[] = [];
    let at = 0;
    for (const part of delivery.shared) {
      if (typeof part === "number") {
        addSharedExtents(layout, ids, at, part, shared);
        at += part;
      } else shared.push(...part);
    }
    const targets: DeliverTarget[] = [];
    const parents = new Set<number>();
    for (let index = 0; index < mailboxes.length; index++) {
      const mailbox = mailboxes[index] as Mailbox;
      const { inode } = mailbox;
      const length = privateLengths[index] as number;
      let own: Extent | undefined;
      if (length > 0) {
        const unit = ids[layout.privateUnits[index] as number] as number;
        own = { unit, offset: layout.privateOffsets[index] as number, length };
      }
      const copy = index === 0 ? undefined : delivery.copies[index - 1];
      if (held[index] === 1) {
        const bytes = copy ?? shared;
        pends.push(this.#pend(mailbox, own === undefined ? bytes : [own, ...bytes], time));
      } else if (copy !== undefined) {
        const extents = own === undefined ? copy : [own, ...copy];
        const isNew = this.#append(mailbox, extents, time, changes, notices);
        if (isNew) parents.add(mailbox.parent);
      } else if (inode === undefined) {
        const ino = this.#store.newIno();
        create(changes, mailbox, ino, mailbox.create as Ownership, time);
        parents.add(mailbox.parent);
        targets.push({ ino, private: own });
      } else {
        const cleared = withoutSetId(inode, time);
        if (cleared !== undefined) changes.push(cleared);
        notices.push(inode.ino, inode.size);
        targets.push({ ino: inode.ino, private: own, row: inode });
      }
    }
    for (const ino of parents) {
      changes.push({ type: "attributes", ino, mtime: time, ctime: time });
      notices.push(ino, -1);
    }
    if (targets.length > 0) changes.push({ type: "deliver", time, shared, targets });
    for (const pend of pends) changes.push(pend);
  }

  /** The changes that append to one mailbox alone. Whether it has to be made. */
  #append(
    mailbox: Mailbox,
    extents: readonly Extent[],
    time: Time,
    changes: Change[],
    notices: number[],
  ): boolean {
    const { inode } = mailbox;
    const ino = inode?.ino ?? this.#store.newIno();
    if (inode === undefined) create(changes, mailbox, ino, mailbox.create as Ownership, time);
    else {
      const cleared = withoutSetId(inode, time);
      if (cleared !== undefined) changes.push(cleared);
      notices.push(ino, inode.size);
    }
    changes.push(
      { type: "splice", ino, offset: inode?.size ?? 0, remove: 0, extents },
      { type: "attributes", ino, mtime: time, ctime: time },
    );
    return inode === undefined;
  }

  #pend(mailbox: Mailbox, extents: readonly Extent[], time: Time): PendChange {
    const { parent, name, inode } = mailbox;
    const { mode, uid, gid } = inode ?? (mailbox.create as Ownership);
    const id = this.#store.newPendingId();
    return { type: "pend", id, parent, name, time, mode: mode & 0o777, uid, gid, extents };
  }

  /** Shows what pends on a name, if it can be shown. */
  #show(waiting: Waiting): void {
    try {
      while (waiting.deliveries.length > 0 && this.#showSome(waiting));
    } catch (error) {
      // It stays pending: tick() comes back to it when the disk has room again.
      if (!(error instanceof StoreError)) throw error;
    }
  }

  /** False when the name is not free. */
  #showSome(waiting: Waiting): boolean {
    const { parent, name } = waiting;
    const store = this.#store;
    const pending = firstOf(waiting.deliveries);
    const first = pending[0] as PendingDelivery;
    const directory = store.inode(parent);
    if (directory === undefined || !isDirectory(directory.mode) || directory.nlink === 0) {
      store.commit(pending.map(({ id }) => ({ type: "unpend", id })));
      this.#waiting.done(waiting, pending.length);
      return true;
    }
    const ino = store.lookup(parent, name);
    const inode = ino === 0 ? undefined : store.inode(ino);
    if (!this.#free(waiting, inode, first)) return false;
    const extents = pending.flatMap((one) => one.extents);
    let length = 0;
    for (const extent of extents) length += extent.length;
    if (inode !== undefined && inode.size + length > FILE_SIZE_MAX) return false;

    const now = this.#now();
    const changes: Change[] = [];
    const end = inode?.size ?? 0;
    const target = inode?.ino ?? store.newIno();
    if (inode === undefined) {
      create(changes, waiting, target, first, now);
      changes.push({ type: "attributes", ino: parent, mtime: now, ctime: now });
    } else {
      const cleared = withoutSetId(inode, now);
      if (cleared !== undefined) changes.push(cleared);
    }
    changes.push(
      { type: "splice", ino: target, offset: end, remove: 0, extents },
      { type: "attributes", ino: target, mtime: now, ctime: now },
    );
    for (const { id } of pending) changes.push({ type: "unpend", id });
    store.commit(changes);
    this.#waiting.done(waiting, pending.length);
    // Nobody waits for these; who takes a lock on the file waits for `settled`.
    void this.#invalidations.start(target, end);
    if (inode === undefined) void this.#invalidations.start(parent, -1);
    return true;
  }

  #free(waiting: Waiting, inode: Inode | undefined, first: PendingDelivery): boolean {
    this.#wait(waiting);
    if (waiting.ino !== 0) return false;
    if (inode !== undefined) {
      if (!isRegular(inode.mode)) return false;
      const owner = { uid: first.uid, gid: first.gid, pid: 0, groups: [] };
      const same = inode.uid === first.uid;
      if (!same && !mayAccess(inode, owner, MAY_WRITE)) return false;
    }
    const { parent, name } = waiting;
    return !isDotlocked(this.#store, parent, name, inode ?? first, this.#now().sec);
  }

  /** Asserts the invariants, for tests. */
  check(): void {
    this.#waiting.check();
    let count = 0;
    for (const { parent, name, deliveries } of this.#waiting.all()) {
      const stored = this.#store.pending(parent, name);
      const same = stored.every(({ id }, k) => deliveries[k]?.id === id);
      assert(same && stored.length === deliveries.length, "what pends is what the store says");
      count += stored.length;
    }
    assert(count === this.#store.statistics().pending, "every name that waits is known");
  }
}

/** Bytes and extents of what every mailbox gets. */
function sharedSize(
  delivery: Delivery,
  layout: Layout,
): { readonly length: number; readonly extentCount: number } {
  let length = 0;
  let inline = 0;
  let extentCount = 0;
  for (const part of delivery.shared) {
    if (typeof part === "number") {
      extentCount += sharedExtentCount(layout, inline, part);
      inline += part;
      length += part;
    } else {
      extentCount += part.length;
      for (const extent of part) length += extent.length;
    }
  }
  return { length, extentCount };
}

/**
 * Those that one commit shows. Some hundreds of messages of thousands of extents each would make a record over
 * its limit, so that they never showed.
 */
function firstOf(deliveries: readonly PendingDelivery[]): PendingDelivery[] {
  let count = 0;
  let extents = 0;
  for (const delivery of deliveries) {
    extents += delivery.extents.length;
    if (count > 0 && extents > SHOWN_EXTENTS_AT_ONCE_MAX) break;
    if (++count === SHOWN_AT_ONCE_MAX) break;
  }
  return deliveries.slice(0, count);
}

/**
 * Nobody has read a mailbox that its first mail makes: mutt, shells and finger take it to have new mail when it was
 * read before it was changed, some of them by whole seconds.
 */
function create(
  changes: Change[],
  { parent, name }: { readonly parent: number; readonly name: string },
  ino: number,
  { mode, uid, gid }: Ownership,
  time: Time,
): void {
  changes.push(
    {
      type: "inode",
      ino,
      mode: S_IFREG | mode,
      uid,
      gid,
      nlink: 1,
      rdev: 0,
      atime: { sec: time.sec - 1, nsec: time.nsec },
      mtime: time,
      ctime: time,
      parent: 0,
      target: NO_TARGET,
    },
    { type: "name", parent, name, ino, fileType: S_IFREG },
  );
}

/** A file that grows loses its set-id bits, as with write(2). */
function withoutSetId(inode: Inode, time: Time): Change | undefined {
  const mode = inode.mode & ~(S_ISUID | S_ISGID);
  return mode === inode.mode
    ? undefined
    : { type: "attributes", ino: inode.ino, mode, ctime: time };
}

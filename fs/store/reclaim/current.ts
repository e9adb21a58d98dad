/**
 * What must be written again of the changes in a segment that is to go. An inode that a record is about, and whose
 * last snapshot does not stand behind it, gets a snapshot; a name or a pending delivery is written again while it
 * is current; a deletion record while what it deletes may be in a segment that stays (docs/FORMAT.md).
 *
 * What comes out is true of the state as it is: it is to be committed in the same turn.
 */
import type { Change, PendChange } from "../records/change.ts";
import type { State } from "../state/state.ts";
import { snapshotOf, weightOf } from "./snapshot.ts";
import type { Survivors } from "./survivors.ts";

/** Names that were written again lately, and need not be once more. */
const NAMES_MAX = 20_000;

export class CurrentRecords {
  readonly #state: State;
  readonly #survivors: Survivors;
  #changes: Change[] = [];
  /** Inodes, pending and gone ones among the changes. */
  readonly #inodes = new Set<number>();
  readonly #names = new Set<string>();
  /** Inodes that need a snapshot with more extents than that: a MapSeries for each. */
  readonly #large: number[] = [];
  readonly #extentsMax: number;
  /** About how much the changes take in the log. */
  #weight = 0;

  constructor(state: State, survivors: Survivors, extentsMax: number) {
    this.#state = state;
    this.#survivors = survivors;
    this.#extentsMax = extentsMax;
  }

  get weight(): number {
    return this.#weight;
  }

  /** The changes to commit now. */
  take(): Change[] {
    const changes = this.#changes;
    this.#changes = [];
    this.#inodes.clear();
    this.#weight = 0;
    return changes;
  }

  /** To be asked behind each add and addInode, for what comes next may be about the same inode. */
  takeLarge(): number | undefined {
    return this.#large.shift();
  }

  /** Looks at a change that stands at a place of a segment that is to go; a deliver's targets come one by one (addInode). */
  add(change: Change, segment: number, place: number): void {
    switch (change.type) {
      case "inode":
      case "attributes":
      case "splice":
      case "xattr":
      case "map":
      case "cut":
        this.addInode(change.ino, place);
        // Also what the other side of a cut got rests on what stands before.
        if (change.type === "cut") this.addInode(change.to, place);
        return;
      case "deliver":
        return;
      case "name":
        this.#name(change.parent, change.name, change.ino);
        this.#absentName(change.parent, change.name, change.before ?? 0, segment);
        return;
      case "unname":
        this.#absentName(change.parent, change.name, change.before ?? 0, segment);
        return;
      case "absentName":
        this.#absentName(change.parent, change.name, change.ino, change.last);
        return;
      case "dropInode":
        this.#absentInode(change.ino, segment);
        return;
      case "absentInode":
        this.#absentInode(change.ino, change.last);
        return;
      case "pend":
        this.#pend(change);
        return;
      case "unpend":
        this.#absentPending(change.id, segment);
        return;
      case "absentPending":
        this.#absentPending(change.id, change.last);
        return;
      case "removed":
        // Every batch ends with a newer one.
        return;
    }
  }

  /** Looks at a record about an inode. */
  addInode(ino: number, place: number): void {
    const inode = this.#state.inode(ino);
    if (inode === undefined || place < inode.reset || this.#inodes.has(ino)) return;
    const snapshot = snapshotOf(inode, this.#extentsMax);
    if (snapshot === undefined) {
      this.#large.push(ino);
      return;
    }
    this.#inodes.add(ino);
    for (const change of snapshot) this.#changes.push(change);
    this.#weight += weightOf(snapshot);
  }

  #push(change: Change, weight: number): void {
    this.#changes.push(change);
    this.#weight += weight;
  }

  #name(parent: number, name: string, ino: number): void {
    const dentry = this.#state.dentry(parent, name);
    if (dentry?.ino !== ino || this.#state.inode(parent) === undefined) return;
    if (!this.#isNew(`${parent}/${name}`)) return;
    this.#push({ type: "name", parent, name, ino, fileType: dentry.fileType }, 16 + name.length);
  }

  /** A name of an inode that is gone is gone with it. */
  #absentName(parent: number, name: string, ino: number, last: number): void {
    const state = this.#state;
    if (ino === 0 || state.inode(ino) === undefined || state.inode(parent) === undefined) return;
    if (state.dentry(parent, name)?.ino === ino) return;
    if (
      !this.#survivors.mayHoldInode(ino, last) ||
      !this.#isNew(`${parent}/${ino}/${last}/${name}`)
    ) {
      return;
    }
    this.#push({ type: "absentName", parent, name, ino, last }, 16 + name.length);
  }

  #absentInode(ino: number, last: number): void {
    if (this.#state.inode(ino) !== undefined || !this.#survivors.mayHoldInode(ino, last)) return;
    this.#push({ type: "absentInode", ino, last }, 8);
  }

  #pend(change: PendChange): void {
    if (this.#state.pending.has(change.id)) {
      this.#push(change, 40 + change.name.length + change.extents.length * 8);
    }
  }

  #absentPending(id: number, last: number): void {
    if (this.#state.pending.has(id) || !this.#survivors.mayHoldPending(id, last)) return;
    this.#push({ type: "absentPending", id, last }, 8);
  }

  #isNew(key: string): boolean {
    if (this.#names.has(key)) return false;
    if (this.#names.size >= NAMES_MAX) this.#names.clear();
    this.#names.add(key);
    return true;
  }
}

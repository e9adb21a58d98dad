/**
 * The forward pass over a log with gaps (rebuild.ts): which changes count, and what those mean that deal with
 * names. Names are put down as rows alone, because a name's record may stand before that of its directory;
 * in the end each directory is told how many it has (countNames).
 */
import { ByteReader } from "../../../base/bytes.ts";
import { firstNumber, kindRange } from "../index/keys.ts";
import type { StoreIndex } from "../index/store-index.ts";
import type {
  AbsentNameChange,
  Change,
  CutChange,
  DeliverChange,
  Extent,
  MapChange,
  NameChange,
  RemovedChange,
} from "../records/change.ts";
import { isOffcut } from "../records/offcut.ts";
import { union } from "../records/segment-set.ts";
import { apply, DOTLOCK_SUFFIX } from "../state/apply.ts";
import { Dentry, decodeNameRow } from "../state/dentry.ts";
import type { Resets } from "../state/resets.ts";
import type { State } from "../state/state.ts";
import { applyEarlyPage, checkContinues, spliceEarly } from "./rebuild-maps.ts";

const NAMES_AT_ONCE = 1_000;

export class RebuildingApply {
  readonly #state: State;
  readonly #resets: Resets;
  /** One for all directories: in each it grows with the log, which is what a cookie has to. */
  #lastCookie = 0;

  constructor(state: State, resets: Resets) {
    this.#state = state;
    this.#resets = resets;
  }

  /** In the backward pass: segments that are to be passed over, and numbers that were given out. */
  static removed(state: State, change: RemovedChange): void {
    const { counters } = state;
    state.removedSegments = union(state.removedSegments, change.segments);
    counters.nextIno = Math.max(counters.nextIno, change.nextIno);
    counters.nextUnit = Math.max(counters.nextUnit, change.nextUnit);
    counters.nextPending = Math.max(counters.nextPending, change.nextPending);
  }

  commit(changes: readonly Change[]): void {
    for (const change of changes) this.#change(change);
  }

  #change(change: Change): void {
    const state = this.#state;
    switch (change.type) {
      case "inode":
        this.#number(change.ino, 0);
        if (this.#counts(change.ino)) apply(state, change);
        return;
      case "attributes":
      case "xattr":
        if (this.#counts(change.ino)) apply(state, change);
        return;
      case "splice":
        this.#splice(change.ino, change.offset, change.remove, change.extents);
        return;
      case "map":
        this.#map(change);
        return;
      case "cut":
        this.#cut(change);
        return;
      case "deliver":
        this.#deliver(change);
        return;
      case "name":
        this.#number(change.ino, 0);
        this.#name(change);
        return;
      case "unname":
        this.#unname(change.parent, change.name);
        return;
      case "absentName":
        this.#absentName(change);
        return;
      case "pend":
        this.#number(0, change.id);
        apply(state, change);
        return;
      case "unpend":
      case "absentPending":
        if (state.pending.has(change.id)) apply(state, { type: "unpend", id: change.id });
        return;
      case "dropInode":
      case "absentInode":
      case "removed":
        return;
    }
  }

  /** Also what does not count is in the segment. */
  #number(ino: number, pending: number): void {
    const { counters } = this.#state;
    counters.nextIno = Math.max(counters.nextIno, ino + 1);
    counters.nextPending = Math.max(counters.nextPending, pending + 1);
    this.#state.numbered();
  }

  #counts(ino: number): boolean {
    const reset = this.#resets.get(ino);
    return reset !== undefined && this.#state.place >= reset.place;
  }

  /** Between the first pages of its last snapshot and the snapshot itself. */
  #isMapped(ino: number): boolean {
    const reset = this.#resets.get(ino);
    const { place } = this.#state;
    return reset !== undefined && place >= reset.mapFrom && place < reset.place;
  }

  /**
   * What a truncation cut off a file rests on that file's records, and ends with the next start at the
   * latest: it is left empty.
   */
  #hasContent(ino: number): boolean {
    return this.#counts(ino) && !isOffcut(this.#state.inode(ino)?.mode ?? 0);
  }

  #splice(ino: number, offset: number, remove: number, extents: readonly Extent[]): void {
    if (this.#hasContent(ino)) {
      apply(this.#state, { type: "splice", ino, offset, remove, extents });
    } else if (this.#isMapped(ino)) {
      spliceEarly(this.#state, ino, offset, remove, extents);
    }
  }

  #map(change: MapChange): void {
    if (this.#hasContent(change.ino)) {
      checkContinues(this.#state, change);
      apply(this.#state, change);
    } else if (this.#isMapped(change.ino)) {
      applyEarlyPage(this.#state, change);
    }
  }

  #cut({ ino, offset }: CutChange): void {
    const size = this.#state.inode(ino)?.size ?? 0;
    this.#splice(ino, offset, Math.max(0, size - offset), []);
  }

  #deliver(change: DeliverChange): void {
    const targets = change.targets.filter(({ ino }) => this.#counts(ino));
    if (targets.length > 0) apply(this.#state, { ...change, targets });
  }

  #name({ parent, name, ino, fileType }: NameChange): void {
    const state = this.#state;
    if (this.#resets.get(parent) === undefined) return;
    if (this.#resets.get(ino) === undefined) {
      this.#unname(parent, name);
      return;
    }
    let dentry = state.dentryOrTombstone(parent, name);
    if (dentry === undefined) {
      dentry = new Dentry(parent, name, ++this.#lastCookie, ino, fileType);
      state.dentries.set(dentry);
    }
    state.touch(dentry);
    dentry.ino = ino;
    dentry.fileType = fileType;
    dentry.removed = false;
  }

  #unname(parent: number, name: string): void {
    const dentry = this.#state.dentry(parent, name);
    if (dentry === undefined) return;
    this.#state.touch(dentry);
    dentry.removed = true;
  }

  #absentName({ parent, name, ino }: AbsentNameChange): void {
    if (this.#state.dentry(parent, name)?.ino === ino) this.#unname(parent, name);
  }
}

/**
 * Directories learn from the index's rows, which must be up to date, how many names they have. `mayPause` is called behind
 * each: the place for a checkpoint.
 */
export async function countNames(
  state: State,
  index: StoreIndex,
  mayPause: () => Promise<void>,
): Promise<void> {
  let entries = 0;
  let dotlocks = 0;
  let lastCookie = 0;
  let parent = 0;
  const { counters } = state;
  const endDirectory = (): void => {
    const directory = state.inode(parent);
    if (directory !== undefined) {
      state.touch(directory);
      directory.entryCount = entries;
      directory.dotlockCount = dotlocks;
      directory.lastCookie = lastCookie;
    }
    entries = dotlocks = lastCookie = 0;
    if (state.full) state.sweep();
  };
  const rows = index.rows(kindRange("d"));
  try {
    for (;;) {
      const some = await rows.next(NAMES_AT_ONCE);
      if (some.length === 0) break;
      for (const [key, value] of some) {
        const directory = firstNumber(key);
        if (directory !== parent) {
          endDirectory();
          await mayPause();
        }
        parent = directory;
        const name = key.toString("latin1", 7);
        const { cookie } = decodeNameRow(parent, name, new ByteReader(value));
        entries++;
        if (name.endsWith(DOTLOCK_SUFFIX)) dotlocks++;
        lastCookie = Math.max(lastCookie, cookie);
        counters.names++;
        counters.nameBytes += name.length;
      }
    }
  } finally {
    await rows.close();
  }
  endDirectory();
}

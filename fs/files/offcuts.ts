/**
 * What truncations cut off. A program that empties a mailbox and writes it anew (s-nail, a shell), or cuts
 * the tail and writes that again, leaves nothing in the file that its writes could be compared with. So
 * what is cut off is kept for a while, as the content of an inode without a name, and writes to where
 * it stood are matched with it: what is written as it was keeps its units.
 *
 *     truncated --same commit--> kept --writes at and behind the cut--> ended --in turns--> dropped
 *
 * It ends when the last program that can write to the file closes it, when it was not used for a while, when
 * the file has become much longer than it was, and when others need its place. It is memory only that tells
 * whose it is: after a crash it is an orphan as any other.
 *
 * Invariants:
 * - An offcut is seen by nobody: it has no name and no type, and is counted neither as a file nor as its bytes.
 * - It is used for writes to the file that it was cut off, as long as that has the same owner and group.
 */
import type { Time } from "../attributes.ts";
import { isRegular } from "../attributes.ts";
import type { MoverState } from "../moved/moved.ts";
import type { Change, InodeChange, SpliceChange } from "../store/records/change.ts";
import { StoreError } from "../store/errors.ts";
import type { Inode } from "../store/state/inode.ts";
import { OFFCUT_MODE } from "../store/records/offcut.ts";
import type { Store } from "../store/store.ts";
import { OFFCUT_IDLE_TICKS_MAX, OFFCUT_LENGTH_MIN, OFFCUTS_MAX } from "./limits.ts";
import { extentsOfPieces, matchWith } from "./matched.ts";
import type { Orphans } from "./orphans.ts";
import { placeExtents } from "./ranges.ts";

const NOTHING = Buffer.alloc(0);

interface Offcut {
  readonly ino: number;
  readonly size: number;
  /** Where it stood in the file. */
  readonly start: number;
  /** The end of what was written since. Whoever writes before it changes what is there now. */
  writtenTo: number;
  state: MoverState | undefined;
  usedAtTick: number;
}

export class Offcuts {
  readonly #store: Store;
  readonly #orphans: Orphans;
  /** By the file that it was cut off; the one used last comes last. */
  readonly #offcuts = new Map<number, Offcut>();
  #ticks = 0;

  constructor(store: Store, orphans: Orphans) {
    this.#store = store;
    this.#orphans = orphans;
  }

  /**
   * Commits a truncation, with `others`, that keeps what it cuts off. Returns false when that is not worth it,
   * or the disk is too full for it: then nothing happened.
   */
  truncate(inode: Inode, size: number, others: readonly Change[], now: Time): boolean {
    const { ino } = inode;
    const length = inode.size - size;
    const kept = this.#offcuts.get(ino);
    // A program that begins to write it and then begins anew leaves us the better one.
    const lengthMin = Math.max(OFFCUT_LENGTH_MIN, (kept?.size ?? 0) / 2);
    if (!isRegular(inode.mode) || length < lengthMin) return false;
    const to = this.#store.newIno();
    try {
      const cut: Change = { type: "cut", ino, offset: size, to };
      this.#store.commit([offcutInode(inode, to, now), cut, ...others]);
    } catch (error) {
      if (error instanceof StoreError && error.code === "STORE_FULL") return false;
      throw error;
    }
    this.end(ino);
    const offcut = { ino: to, size: length, start: size, writtenTo: size, state: undefined };
    this.#offcuts.set(ino, { ...offcut, usedAtTick: this.#ticks });
    if (this.#offcuts.size > OFFCUTS_MAX) this.#endOldest();
    return true;
  }

  /** The file's size was set in another way. */
  resized(ino: number, size: number): void {
    const offcut = this.#offcuts.get(ino);
    if (offcut === undefined) return;
    offcut.writtenTo = Math.max(offcut.start, Math.min(offcut.writtenTo, size));
  }

  /**
   * The splice that a write amounts to; undefined when nothing that was cut off belongs there. Ids of the
   * units that it stores are added to `units`.
   */
  splice(inode: Inode, offset: number, data: Buffer, units: number[]): SpliceChange | undefined {
    const offcut = this.#offcuts.get(inode.ino);
    if (offcut === undefined || offset < offcut.writtenTo) return undefined;
    const at = offset - offcut.start;
    if (at > 2 * offcut.size) {
      this.end(inode.ino);
      return undefined;
    }
    const readWritten = (from: number, length: number): Buffer => {
      const start = offcut.start + from;
      if (start + length > inode.size) return NOTHING;
      const bytes = Buffer.allocUnsafe(length);
      this.#store.look(inode.ino, start, bytes);
      return bytes;
    };
    const toMatch = { offset: at, data, state: offcut.state, readWritten };
    const { pieces, state } = matchWith(this.#store, offcut, toMatch);
    offcut.state = state;
    offcut.writtenTo = offset + data.length;
    offcut.usedAtTick = this.#ticks;
    this.#offcuts.delete(inode.ino);
    this.#offcuts.set(inode.ino, offcut);
    const extents = extentsOfPieces(this.#store, offcut.ino, pieces, data, units);
    return placeExtents(inode, offset, data.length, extents);
  }

  /** Nobody is to use what was cut off the file. */
  end(ino: number): void {
    const offcut = this.#offcuts.get(ino);
    if (offcut === undefined) return;
    this.#offcuts.delete(ino);
    this.#orphans.discard(offcut.ino);
  }

  endAll(): void {
    for (const ino of this.#offcuts.keys()) this.end(ino);
  }

  /** Every few seconds: ends those that nobody uses. */
  tick(): void {
    this.#ticks++;
    for (const [ino, { usedAtTick }] of this.#offcuts) {
      if (this.#ticks - usedAtTick > OFFCUT_IDLE_TICKS_MAX) this.end(ino);
    }
  }

  #endOldest(): void {
    for (const ino of this.#offcuts.keys()) {
      this.end(ino);
      return;
    }
  }
}

function offcutInode({ uid, gid }: Inode, ino: number, now: Time): InodeChange {
  const times = { atime: now, mtime: now, ctime: now };
  const none = { nlink: 0, rdev: 0, parent: 0, target: NOTHING };
  return { type: "inode", ino, mode: OFFCUT_MODE, uid, gid, ...none, ...times };
}

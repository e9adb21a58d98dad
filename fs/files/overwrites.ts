/**
 * Writes to places that were chosen by the program. A mail program expunges by writing the rest of the
 * file again at a shift, with edited headers in between; all that is seen of it are its writes. Each is
 * matched against what the file holds (fs/moved/), and what it only moves keeps its units.
 *
 * What one write tells of the next (the running shift) is kept for the files written last, and
 * forgotten without harm: it can cost space, never bytes.
 */
import type { MoverState, Piece } from "../moved/moved.ts";
import { noteResize } from "../moved/moved.ts";
import type { SpliceChange } from "../store/records/change.ts";
import type { Inode } from "../store/state/inode.ts";
import type { Store } from "../store/store.ts";
import { extentsOfPieces, matchWith } from "./matched.ts";
import { placeExtents } from "./ranges.ts";

/** Files for which the state is kept. */
const STATES_MAX = 1_024;

export class Overwrites {
  readonly #store: Store;
  /** The file written last comes last. */
  readonly #states = new Map<number, MoverState>();

  constructor(store: Store) {
    this.#store = store;
  }

  forget(ino: number): void {
    this.#states.delete(ino);
  }

  /** The size was set: a mover often extends a file first, and then moves its bytes by as much. */
  resized(ino: number, before: number, after: number): void {
    this.#remember(ino, noteResize(this.#states.get(ino), before, after));
  }

  /**
   * The splice that a write amounts to; undefined when it writes what is there. Ids of the units that
   * it stores are added to `units`.
   */
  splice(inode: Inode, offset: number, data: Buffer, units: number[]): SpliceChange | undefined {
    const { ino } = inode;
    const { pieces, state } = matchWith(this.#store, inode, {
      offset,
      data,
      state: this.#states.get(ino),
    });
    this.#remember(ino, state);
    const { first, end, skipped } = changedPart(pieces, offset);
    if (first === end) return undefined;
    const changed = pieces.slice(first, end);
    let length = 0;
    for (const piece of changed) length += piece.length;
    const extents = extentsOfPieces(this.#store, ino, changed, data, units);
    return placeExtents(inode, offset + skipped, length, extents);
  }

  #remember(ino: number, state: MoverState | undefined): void {
    this.#states.delete(ino);
    if (state === undefined) return;
    this.#states.set(ino, state);
    if (this.#states.size <= STATES_MAX) return;
    for (const oldest of this.#states.keys()) {
      this.#states.delete(oldest);
      break;
    }
  }
}

/** The pieces without those at either end that stay where they are, and the bytes before them. */
function changedPart(
  pieces: readonly Piece[],
  offset: number,
): { first: number; end: number; skipped: number } {
  let first = 0;
  let skipped = 0;
  for (const piece of pieces) {
    if (piece.kind !== "old" || piece.offset !== offset + skipped) break;
    skipped += piece.length;
    first++;
  }
  let end = pieces.length;
  let at = offset;
  for (const piece of pieces) at += piece.length;
  while (end > first) {
    const piece = pieces[end - 1];
    if (piece === undefined || piece.kind !== "old") break;
    at -= piece.length;
    if (piece.offset !== at) break;
    end--;
  }
  return { first, end, skipped };
}

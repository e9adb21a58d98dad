/** A write that is matched with content in the store (fs/moved/), and the extents that it then puts into a file. */
import type { MoverState, Piece, WriteToMatch } from "../moved/moved.ts";
import { matchWrite } from "../moved/moved.ts";
import type { Extent } from "../store/records/change.ts";
import { StoreError } from "../store/errors.ts";
import type { Store } from "../store/store.ts";
import { packPieces } from "./packing.ts";

/** An inode whose content the pieces called "old" are of. */
export interface OldContent {
  readonly ino: number;
  readonly size: number;
}

export type ToMatch = Pick<WriteToMatch, "offset" | "data" | "state" | "readWritten">;

/** What the matching of one write looks at first: nothing of it is kept for the next one. */
const looked = Buffer.allocUnsafeSlow(256 * 1024);

/** Content that is damaged matches nothing: whoever writes over it mends the file. */
export function matchWith(
  store: Store,
  old: OldContent,
  { offset, data, state, readWritten }: ToMatch,
): { readonly pieces: readonly Piece[]; readonly state: MoverState | undefined } {
  let used = 0;
  const readOld = (at: number, length: number): Buffer => {
    const bytes =
      used + length <= looked.length
        ? looked.subarray(used, used + length)
        : Buffer.allocUnsafe(length);
    used += length;
    store.look(old.ino, at, bytes);
    return bytes;
  };
  try {
    const write = { offset, data, size: old.size, readOld, state };
    return matchWrite(readWritten === undefined ? write : { ...write, readWritten });
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== "STORE_DAMAGED") throw error;
    return { pieces: [{ kind: "new", offset: 0, length: data.length }], state: undefined };
  }
}

/** Stores what is new of the pieces; ids of the units that this takes are added to `units`. */
export function extentsOfPieces(
  store: Store,
  oldIno: number,
  pieces: readonly Piece[],
  data: Buffer,
  units: number[],
): Extent[] {
  const fresh: Buffer[] = [];
  for (const { kind, offset, length } of pieces) {
    if (kind === "new") fresh.push(data.subarray(offset, offset + length));
  }
  const packed = packPieces(store, fresh, units);
  const extents: Extent[] = [];
  let next = 0;
  for (const { kind, offset, length } of pieces) {
    const part = kind === "old" ? store.extents(oldIno, offset, length) : (packed[next++] ?? []);
    // Not spread: a part can have more extents than a call can have arguments.
    for (const extent of part) extents.push(extent);
  }
  return extents;
}

/**
 * Whether changes fit the state, looked at before they are written: a record in the log that cannot be
 * applied would stop every later start. What is found here is a mistake of the caller, so it asserts.
 */
import { assert } from "../../../base/assert.ts";
import type { Change, Extent } from "../records/change.ts";
import { stores } from "../records/chunks.ts";
import type { State } from "./state.ts";

export function validate(state: State, changes: readonly Change[]): void {
  /** Sizes and existence as they will be after the changes so far. */
  const sizes = new Map<number, number>();
  const sizeOf = (ino: number): number => {
    const known = sizes.get(ino) ?? state.inode(ino)?.size;
    assert(known !== undefined, `inode ${ino} is there`);
    return known;
  };
  const extentsFit = (extents: readonly Extent[]): number => {
    let length = 0;
    for (const extent of extents) {
      assert(extent.length > 0 && extent.offset >= 0, "an extent is not empty");
      if (extent.unit !== 0) {
        const unit = state.unit(extent.unit);
        assert(unit !== undefined, `unit ${extent.unit} is there`);
        assert(stores(unit.chunks, extent.offset, extent.length), "an extent lies in its unit");
      }
      length += extent.length;
    }
    return length;
  };
  /** Pending deliveries that the changes so far made or took off. */
  const pending = new Map<number, boolean>();
  for (const change of changes) {
    switch (change.type) {
      case "inode":
        sizes.set(change.ino, state.inode(change.ino)?.size ?? 0);
        break;
      case "splice": {
        const size = sizeOf(change.ino);
        assert(change.offset >= 0 && change.remove >= 0, "a splice is not negative");
        assert(change.offset + change.remove <= size, "a splice lies in its file");
        sizes.set(change.ino, size - change.remove + extentsFit(change.extents));
        break;
      }
      case "cut": {
        const size = sizeOf(change.ino);
        assert(change.offset >= 0 && change.offset <= size, "a cut lies in its file");
        assert(sizeOf(change.to) === 0 && change.to !== change.ino, "a cut goes to an empty file");
        sizes.set(change.ino, change.offset);
        sizes.set(change.to, size - change.offset);
        break;
      }
      case "deliver":
        // Its targets were found in this turn: looking them up again would be a tenth of a delivery.
        extentsFit(change.shared);
        break;
      case "pend":
        extentsFit(change.extents);
        pending.set(change.id, true);
        break;
      case "unpend": {
        const isThere = pending.get(change.id) ?? state.pending.has(change.id);
        assert(isThere, `pending delivery ${change.id} is there`);
        pending.set(change.id, false);
        break;
      }
      case "attributes":
      case "xattr":
      case "dropInode":
      case "map":
        sizeOf(change.ino);
        break;
      case "name":
      case "unname":
      case "absentName":
      case "absentInode":
      case "absentPending":
      case "removed":
        break;
    }
  }
}

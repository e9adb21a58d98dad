/**
 * A change of a log that is not whole, made to fit a state that lacks some of what went before: what names
 * something that is not there is left out, what reaches behind the end of a file is cut off there.
 */
import { assertNever } from "../../base/assert.ts";
import { isDirectory } from "../attributes.ts";
import type { Change, Extent, MapChange } from "../store/change.ts";
import { ROOT_INO } from "../store/counters.ts";
import type { Store } from "../store/store.ts";
import type { EarlyNames } from "./early-names.ts";
import type { SalvagedUnits } from "./units.ts";

export interface MendNotes {
  /** Bytes that are zeros now in a file. */
  lost(ino: number, bytes: number): void;
  /** Something about the file did not fit. */
  changed(ino: number): void;
  /** A change that could not be made at all. */
  passedOver(): void;
}

export function mend(
  store: Store,
  units: SalvagedUnits,
  early: EarlyNames,
  change: Change,
  notes: MendNotes,
): readonly Change[] {
  const passOver = (): readonly Change[] => {
    notes.passedOver();
    return [];
  };
  const sizeOf = (ino: number): number | undefined => store.inode(ino)?.size;
  const extentsOf = (ino: number, extents: readonly Extent[]): Extent[] =>
    units.extents(extents, (bytes) => notes.lost(ino, bytes));
  switch (change.type) {
    case "inode":
      return [...emptied(store, change.ino), change];
    case "attributes":
    case "xattr":
      return sizeOf(change.ino) === undefined ? passOver() : [change];
    case "dropInode":
      if (sizeOf(change.ino) === undefined || change.ino === ROOT_INO) return passOver();
      return [change];
    case "splice": {
      const size = sizeOf(change.ino);
      if (size === undefined) return passOver();
      const offset = Math.min(change.offset, size);
      const remove = Math.min(change.remove, size - offset);
      if (offset !== change.offset || remove !== change.remove) notes.changed(change.ino);
      return [{ ...change, offset, remove, extents: extentsOf(change.ino, change.extents) }];
    }
    case "map":
      return mendMap(change, sizeOf(change.ino), extentsOf) ?? passOver();
    case "cut": {
      const size = sizeOf(change.ino);
      const there = sizeOf(change.to);
      if (size === undefined || there === undefined || change.to === change.ino) return passOver();
      const { to: ino } = change;
      const empty: Change = { type: "splice", ino, offset: 0, remove: there, extents: [] };
      return [empty, { ...change, offset: Math.min(change.offset, size) }];
    }
    case "deliver":
      return change.targets.flatMap(({ ino, private: own }): readonly Change[] => {
        const offset = sizeOf(ino);
        if (offset === undefined) return passOver();
        const extents = extentsOf(ino, own === undefined ? change.shared : [own, ...change.shared]);
        return [
          { type: "splice", ino, offset, remove: 0, extents },
          { type: "attributes", ino, mtime: change.time, ctime: change.time },
        ];
      });
    case "name": {
      const { parent, name, ino, fileType } = change;
      early.delete(parent, name);
      const directory = store.inode(parent);
      if (directory === undefined) early.add({ type: "name", parent, name, ino, fileType });
      if (directory === undefined || !isDirectory(directory.mode)) return passOver();
      // In a log with gaps its inode may come later; else it goes in the end (tidy.ts).
      return [{ type: "name", parent, name, ino, fileType }];
    }
    case "unname": {
      const { parent, name } = change;
      early.delete(parent, name);
      return store.lookup(parent, name) === 0 ? passOver() : [{ type: "unname", parent, name }];
    }
    case "absentName": {
      const { parent, name, ino } = change;
      if (early.ino(parent, name) === ino) early.delete(parent, name);
      return store.lookup(parent, name) === ino ? [{ type: "unname", parent, name }] : [];
    }
    case "absentInode":
      return sizeOf(change.ino) === undefined ? [] : [{ type: "dropInode", ino: change.ino }];
    case "pend": {
      const parent = store.inode(change.parent);
      if (parent === undefined || !isDirectory(parent.mode)) return passOver();
      return [{ ...change, extents: extentsOf(change.parent, change.extents) }];
    }
    case "unpend":
      return isPending(store, change.id) ? [change] : passOver();
    case "absentPending":
      return isPending(store, change.id) ? [{ type: "unpend", id: change.id }] : [];
    case "removed":
      return [];
    default:
      return assertNever(change);
  }
}

/** A snapshot supersedes all that was said of the inode before: its maps follow, if it has any bytes. */
function emptied(store: Store, ino: number): readonly Change[] {
  const inode = store.inode(ino);
  if (inode === undefined) return [];
  const changes: Change[] = [...(inode.xattrs?.keys() ?? [])].map((name) => ({
    type: "xattr",
    ino,
    name,
    value: undefined,
  }));
  if (inode.size > 0) {
    changes.push({ type: "splice", ino, offset: 0, remove: inode.size, extents: [] });
  }
  return changes;
}

function isPending(store: Store, id: number): boolean {
  return store.internals().state.pending.has(id);
}

/** As a splice; what is missing before it is a hole. */
function mendMap(
  change: MapChange,
  size: number | undefined,
  extentsOf: (ino: number, extents: readonly Extent[]) => Extent[],
): readonly Change[] | undefined {
  if (size === undefined) return undefined;
  const { ino, last } = change;
  const extents = extentsOf(ino, change.extents);
  let length = 0;
  for (const extent of extents) length += extent.length;
  const offset = Math.min(change.offset, size);
  const gap = change.offset - offset;
  if (gap > 0) extents.unshift({ unit: 0, offset: 0, length: gap });
  const remove = last ? size - offset : Math.min(length, size - offset);
  return [{ type: "splice", ino, offset, remove, extents }];
}

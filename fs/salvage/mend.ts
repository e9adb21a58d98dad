/**
 * A change of a log that is not whole, made to fit a state that lacks some of what went before: what names
 * something that is not there is left out, what reaches behind the end of a file is cut off there.
 */
import { assertNever } from "../../base/assert.ts";
import { isDirectory } from "../attributes.ts";
import type { Change, Extent, InodeChange, MapChange } from "../store/records/change.ts";
import { ROOT_INO } from "../store/state/counters.ts";
import type { Store } from "../store/store.ts";
import type { EarlyMaps } from "./early-maps.ts";
import type { EarlyNames } from "./early-names.ts";
import type { LostFiles } from "./lost-files.ts";
import type { SalvagedUnits } from "./units.ts";

export interface MendNotes {
  /** Bytes that are zeros now in a file. */
  lost(ino: number, bytes: number): void;
  /** Something about the file did not fit. */
  changed(ino: number): void;
  /** Nothing that was said of the file before counts any more. */
  renewed(ino: number): void;
}

/** What stands before something that it rests on. */
export interface Early {
  readonly names: EarlyNames;
  readonly maps: EarlyMaps;
  readonly lost: LostFiles;
}

export function mend(
  store: Store,
  units: SalvagedUnits,
  early: Early,
  change: Change,
  notes: MendNotes,
): readonly Change[] {
  const begin = (ino: number): readonly Change[] => {
    if (sizeOf(ino) !== undefined) return [];
    const made = early.lost.begin(ino);
    if (made.length > 0) notes.changed(ino);
    return made;
  };
  const sizeOf = (ino: number): number | undefined => store.inode(ino)?.size;
  const extentsOf = (ino: number, extents: readonly Extent[]): Extent[] =>
    units.extents(extents, (bytes) => notes.lost(ino, bytes));
  switch (change.type) {
    case "inode":
      early.maps.end(change.ino);
      if (change.mapFrom === undefined) notes.renewed(change.ino);
      return mendInode(store, change);
    case "attributes":
    case "xattr":
      return sizeOf(change.ino) === undefined ? [] : [change];
    case "dropInode":
      early.maps.end(change.ino);
      if (sizeOf(change.ino) === undefined || change.ino === ROOT_INO) return [];
      return drop(store, change.ino);
    case "splice": {
      const made = begin(change.ino);
      const size = made.length > 0 ? 0 : sizeOf(change.ino);
      if (size === undefined) return [];
      const isBeginning = early.maps.has(change.ino);
      if (isBeginning && change.offset >= size) return [];
      const offset = Math.min(change.offset, size);
      const remove = Math.min(change.remove, size - offset);
      const fits = offset === change.offset && remove === change.remove;
      if (!fits && !isBeginning) notes.changed(change.ino);
      const extents = extentsOf(change.ino, change.extents);
      return [...made, { ...change, offset, remove, extents }];
    }
    case "map": {
      const paged = sizeOf(change.ino) === undefined ? early.maps.begin(change.ino) : [];
      const made = paged.length > 0 ? paged : begin(change.ino);
      const size = made.length > 0 ? 0 : sizeOf(change.ino);
      if (size === undefined) return [];
      return [...made, ...mendMap(change, size, extentsOf)];
    }
    case "cut": {
      const size = sizeOf(change.ino);
      const there = sizeOf(change.to);
      if (size === undefined || there === undefined || change.to === change.ino) return [];
      const { to: ino } = change;
      const empty: Change = { type: "splice", ino, offset: 0, remove: there, extents: [] };
      return [empty, { ...change, offset: Math.min(change.offset, size) }];
    }
    case "deliver":
      return change.targets.flatMap(({ ino, private: own }): readonly Change[] => {
        const made = begin(ino);
        const offset = made.length > 0 ? 0 : sizeOf(ino);
        if (offset === undefined) return [];
        if (early.maps.has(ino)) return [];
        const extents = extentsOf(ino, own === undefined ? change.shared : [own, ...change.shared]);
        return [
          ...made,
          { type: "splice", ino, offset, remove: 0, extents },
          { type: "attributes", ino, mtime: change.time, ctime: change.time },
        ];
      });
    case "name": {
      const { parent, name, ino, fileType } = change;
      early.names.delete(parent, name);
      const directory = store.inode(parent);
      if (directory === undefined) early.names.add({ type: "name", parent, name, ino, fileType });
      if (directory === undefined || !isDirectory(directory.mode)) return [];
      // In a log with gaps its inode may come later; else it goes in the end (tidy.ts).
      return [{ type: "name", parent, name, ino, fileType }];
    }
    case "unname": {
      const { parent, name } = change;
      early.names.delete(parent, name);
      return store.lookup(parent, name) === 0 ? [] : [{ type: "unname", parent, name }];
    }
    case "absentName": {
      const { parent, name, ino } = change;
      if (early.names.ino(parent, name) === ino) early.names.delete(parent, name);
      return store.lookup(parent, name) === ino ? [{ type: "unname", parent, name }] : [];
    }
    case "absentInode":
      early.maps.end(change.ino);
      return sizeOf(change.ino) === undefined ? [] : drop(store, change.ino);
    case "pend": {
      const parent = store.inode(change.parent);
      if (parent === undefined || !isDirectory(parent.mode)) return [];
      return [{ ...change, extents: extentsOf(change.parent, change.extents) }];
    }
    case "unpend":
      return isPending(store, change.id) ? [change] : [];
    case "absentPending":
      return isPending(store, change.id) ? [{ type: "unpend", id: change.id }] : [];
    case "removed":
      return [];
    default:
      return assertNever(change);
  }
}

/**
 * A snapshot supersedes all that was said of the inode before: its maps follow, if it has any bytes, or the first of them
 * stood before it. The new log has no snapshots in several commits.
 */
function mendInode(store: Store, { mapFrom, ...change }: InodeChange): readonly Change[] {
  const { ino } = change;
  const inode = store.inode(ino);
  if (inode === undefined) return [change];
  const changes: Change[] = [...(inode.xattrs?.keys() ?? [])].map((name) => ({
    type: "xattr",
    ino,
    name,
    value: undefined,
  }));
  if (mapFrom !== undefined) {
    const { mode, uid, gid, nlink, parent, atime, mtime, ctime } = change;
    const attributes = { mode, uid, gid, nlink, parent, atime, mtime, ctime };
    return [...changes, { type: "attributes", ino, ...attributes }];
  }
  if (inode.size > 0) {
    changes.push({ type: "splice", ino, offset: 0, remove: inode.size, extents: [] });
  }
  return [...changes, change];
}

/**
 * A directory goes in the end (tidy.ts), with the names in it: in a log with gaps nothing need say that they are gone, if
 * what they named is.
 */
function drop(store: Store, ino: number): readonly Change[] {
  if (!isDirectory(store.inode(ino)?.mode ?? 0)) return [{ type: "dropInode", ino }];
  return [{ type: "attributes", ino, nlink: 0 }];
}

function isPending(store: Store, id: number): boolean {
  return store.internals().state.pending.has(id);
}

/** As a splice; what is missing before it is a hole. */
function mendMap(
  change: MapChange,
  size: number,
  extentsOf: (ino: number, extents: readonly Extent[]) => Extent[],
): readonly Change[] {
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

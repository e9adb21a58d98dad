/**
 * Which files damage in the log touches: every inode whose extents name the bytes, with the ranges of it that
 * cannot be read, and all of its names. Reads the whole index, so it is only asked when there is damage.
 */
import { ByteReader } from "../../../base/bytes.ts";
import { S_IFDIR } from "../../attributes.ts";
import { firstNumber, kindRange } from "../index/keys.ts";
import type { LogDamage } from "../log/log-scan.ts";
import type { Extent } from "../records/change.ts";
import { ROOT_INO } from "../state/counters.ts";
import { decodeNameRow } from "../state/dentry.ts";
import type { StoreInternals } from "../store.ts";

/** Files that are named for one piece of damage; the others are counted. */
const FILES_NAMED_MAX = 10_000;

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** Bytes of a unit that cannot be read. */
export interface LostBytes extends ByteRange {
  readonly unit: number;
}

export interface TouchedFile {
  readonly ino: number;
  /** From the root of the store, each a byte string in latin1; none for a file that has no name any more. */
  readonly paths: readonly string[];
  /** What cannot be read of it; none when only a record about it is damaged. */
  readonly lost: readonly ByteRange[];
}

export interface Damage extends LogDamage {
  readonly lostBytes: readonly LostBytes[];
}

export interface ReportedDamage extends Damage {
  readonly files: readonly TouchedFile[];
  /** All of them, also those that are not named. */
  readonly fileCount: number;
  readonly pendingCount: number;
}

/** Where there is no index to ask. */
export function untold(found: LogDamage): ReportedDamage {
  return { ...found, lostBytes: [], files: [], fileCount: 0, pendingCount: 0 };
}

/** What is known of one piece of damage while the index is read. */
interface Found {
  readonly damage: Damage;
  readonly files: Map<number, ByteRange[]>;
  fileCount: number;
  pendingCount: number;
}

export async function reportDamage(
  { state, index }: Pick<StoreInternals, "state" | "index">,
  damage: readonly Damage[],
): Promise<ReportedDamage[]> {
  if (damage.length === 0) return [];
  const found = damage.map((one): Found => ({
    damage: one,
    files: new Map(),
    fileCount: 0,
    pendingCount: 0,
  }));
  const lookUp = new Lookup(found);
  await index.each(kindRange("i"), (key) => {
    const inode = state.inode(firstNumber(key));
    if (inode !== undefined) lookUp.file(inode.ino, inode.tree.slice(0, inode.size));
    if (state.full) state.sweep();
  });
  for (const { change } of state.pending.values()) lookUp.pending(change.extents);
  const wanted = new Set(found.flatMap(({ files }) => [...files.keys()]));
  const paths = await namesOf(index, wanted);
  return found.map(({ damage: one, files, fileCount, pendingCount }) => ({
    ...one,
    fileCount,
    pendingCount,
    files: [...files].map(([ino, lost]) => ({ ino, paths: paths.get(ino) ?? [], lost })),
  }));
}

class Lookup {
  /** For each unit that damage touches: which one, and which bytes are lost by it. */
  readonly #units = new Map<number, [Found, ByteRange | undefined][]>();
  readonly #inodes = new Map<number, Found[]>();

  constructor(found: readonly Found[]) {
    for (const one of found) {
      for (const lost of one.damage.lostBytes) this.#add(lost.unit, one, lost);
      for (const unit of one.damage.writtenWith ?? []) this.#add(unit, one, undefined);
      for (const ino of one.damage.inodes ?? []) {
        this.#inodes.set(ino, [...(this.#inodes.get(ino) ?? []), one]);
      }
    }
  }

  #add(unit: number, found: Found, lost: ByteRange | undefined): void {
    const known = this.#units.get(unit) ?? [];
    known.push([found, lost]);
    this.#units.set(unit, known);
  }

  file(ino: number, extents: readonly Extent[]): void {
    for (const found of this.#inodes.get(ino) ?? []) rangesOf(found, ino);
    let at = 0;
    for (const extent of extents) {
      for (const [found, lost] of this.#units.get(extent.unit) ?? []) {
        const range = lost && common(extent, lost);
        if (lost !== undefined && range === undefined) continue;
        const ranges = rangesOf(found, ino);
        if (range === undefined) continue;
        addRange(ranges, { offset: at + range.offset - extent.offset, length: range.length });
      }
      at += extent.length;
    }
  }

  pending(extents: readonly Extent[]): void {
    const touched = new Set<Found>();
    for (const extent of extents) {
      for (const [found, lost] of this.#units.get(extent.unit) ?? []) {
        if (lost === undefined || common(extent, lost) !== undefined) touched.add(found);
      }
    }
    for (const found of touched) found.pendingCount++;
  }
}

function rangesOf(found: Found, ino: number): ByteRange[] {
  let ranges = found.files.get(ino);
  if (ranges === undefined) {
    ranges = [];
    found.fileCount++;
    if (found.files.size < FILES_NAMED_MAX) found.files.set(ino, ranges);
  }
  return ranges;
}

function common(a: ByteRange, b: ByteRange): ByteRange | undefined {
  const offset = Math.max(a.offset, b.offset);
  const length = Math.min(a.offset + a.length, b.offset + b.length) - offset;
  return length > 0 ? { offset, length } : undefined;
}

/** Ranges come in ascending order; those that touch become one. */
function addRange(ranges: ByteRange[], range: ByteRange): void {
  const last = ranges.at(-1);
  if (last !== undefined && last.offset + last.length === range.offset) {
    ranges[ranges.length - 1] = { offset: last.offset, length: last.length + range.length };
  } else ranges.push(range);
}

/** All paths of these inodes. The names of all directories are in memory meanwhile. */
export async function namesOf(
  index: StoreInternals["index"],
  inodes: ReadonlySet<number>,
): Promise<Map<number, string[]>> {
  const names = new Map<number, { parent: number; name: string }[]>();
  const directories = new Map<number, { parent: number; name: string }>();
  await index.each(kindRange("d"), (key, value) => {
    const parent = firstNumber(key);
    const name = key.toString("latin1", 7);
    const { ino, fileType } = decodeNameRow(parent, name, new ByteReader(value));
    if (fileType === S_IFDIR) directories.set(ino, { parent, name });
    if (!inodes.has(ino)) return;
    const known = names.get(ino);
    if (known === undefined) names.set(ino, [{ parent, name }]);
    else known.push({ parent, name });
  });
  const pathOf = (parent: number, name: string): string => {
    const parts = [name];
    let at = parent;
    // A cycle would be damage of its own.
    for (let depth = 0; at !== ROOT_INO && depth < 4096; depth++) {
      const directory = directories.get(at);
      if (directory === undefined) return `?/${parts.join("/")}`;
      parts.unshift(directory.name);
      at = directory.parent;
    }
    return parts.join("/");
  };
  return new Map(
    [...names].map(([ino, all]) => [ino, all.map(({ parent, name }) => pathOf(parent, name))]),
  );
}

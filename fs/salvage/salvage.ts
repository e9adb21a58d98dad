/**
 * What is whole in a store with a damaged log, as a new store. The old one is only read. Its index is not
 * needed, but says what is lost if there is one: the log is read in order, and every change that still fits is made again (mend.ts).
 *
 * Afterwards the new store is sound: names without a file are gone, files without a name are in /lost+found, and so are
 * units that were written for a record that cannot be read (a mail that nobody's mailbox names).
 */
import * as fs from "node:fs";
import { isDirectory } from "../attributes.ts";
import { checkDirectory, lockStore, unlockStore } from "../store/directory.ts";
import { StoreError } from "../store/errors.ts";
import { untold } from "../store/check/damage-report.ts";
import type { ReportedDamage } from "../store/check/damage-report.ts";
import type { IndexView } from "../store/check/index-view.ts";
import type { LogDamage, ScannedLog } from "../store/log/log-scan.ts";
import { hasSegment } from "../store/records/segment-set.ts";
import { SegmentFiles } from "../store/log/segment-files.ts";
import { Store } from "../store/store.ts";
import { systemDisk } from "../store/disk/system-disk.ts";
import { EarlyMaps } from "./early-maps.ts";
import { EarlyNames } from "./early-names.ts";
import type { DifferingFile } from "./differing.ts";
import { ChangedSince, findDiffering } from "./differing.ts";
import { LostFiles } from "./lost-files.ts";
import { openOldIndex } from "./old-index.ts";
import { SalvageFiles } from "./salvage-files.ts";
import { mend } from "./mend.ts";
import { SalvageSource } from "./source.ts";
import { putInOrder } from "./tidy.ts";
import { SalvagedUnits } from "./units.ts";

/** Changes between two moments in which the disk has them all. */
const CHANGES_PER_SYNC = 1_000;

export interface SalvageOptions {
  readonly onProgress?: (stage: string, part: number) => void;
}

export interface SalvagedFile {
  /** Byte strings in latin1. */
  readonly path: string;
  /** That were replaced by zeros; some may have been removed since. */
  readonly zeroBytes: number;
}

export interface SalvageReport {
  /** With the files that each piece touches, if the old store has an index that can be used. */
  readonly damage: readonly ReportedDamage[];
  /** Files with bytes that are lost, or that a later change did not fit: their content may be mixed up. */
  readonly files: readonly SalvagedFile[];
  /** Names in /lost+found. */
  readonly found: readonly string[];
  readonly indexKnown: boolean;
  /** What is otherwise in the new store than the old index says. */
  readonly differing: readonly DifferingFile[];
  /**
   * Files that the log goes on about and nothing makes: what made them is damaged, or they were deleted long ago. Only
   * without an index, in a log with gaps.
   */
  readonly unknownFiles: number;
}

/** `target` must be missing or empty. Throws StoreError. */
export async function salvage(
  directory: string,
  target: string,
  { onProgress = () => {} }: SalvageOptions = {},
): Promise<SalvageReport> {
  checkDirectory(directory, systemDisk);
  const lock = lockStore(directory);
  const files = new SegmentFiles(directory);
  let store: Store | undefined;
  try {
    if (fs.existsSync(target) && fs.readdirSync(target).length > 0) {
      throw new StoreError("STORE_FORMAT", `${target} is not empty; give a new directory`);
    }
    const log = new SalvageFiles(directory, files);
    const source = new SalvageSource(log);
    const scanned = await source.scan((part) => onProgress("reading", part));
    store = await Store.open(target, { create: true });
    const index = await openOldIndex(directory, target, log);
    const salvaging = { log, source, scanned, store, index: index.view, onProgress };
    let report: SalvageReport;
    try {
      report = await copy(salvaging);
    } finally {
      await index.close();
    }
    await store.close();
    store = undefined;
    return report;
  } finally {
    await store?.close();
    files.closeAll();
    unlockStore(lock);
  }
}

interface Salvaging {
  readonly log: SalvageFiles;
  readonly source: SalvageSource;
  readonly scanned: ScannedLog;
  readonly store: Store;
  readonly index: IndexView | undefined;
  readonly onProgress: (stage: string, part: number) => void;
}

async function copy(salvaging: Salvaging): Promise<SalvageReport> {
  const { log, source, scanned, store, index, onProgress } = salvaging;
  const damage = await damageOf(salvaging);
  const units = new SalvagedUnits(source, store);
  const names = new EarlyNames();
  const lost = new LostFiles(source.settled, scanned.removed.length > 0, index);
  const early = { names, maps: new EarlyMaps(source.mapped), lost };
  const touched = new Map<number, number>();
  const notes = {
    lost: (ino: number, bytes: number) => touched.set(ino, (touched.get(ino) ?? 0) + bytes),
    changed: (ino: number) => touched.set(ino, touched.get(ino) ?? 0),
    renewed: (ino: number) => touched.delete(ino),
  };
  const changed = new ChangedSince(index?.meta.position ?? { segment: 0, offset: 0 });
  const segments = source.segments();
  for (const [k, segment] of segments.entries()) {
    onProgress("copying", k / segments.length);
    const changes = source.changes(segment, (...commit) => changed.add(segment, ...commit));
    for (const [count, change] of changes.entries()) {
      const mended = mend(store, units, early, change, notes);
      if (mended.length > 0) store.commit(mended);
      // The index must keep up, and so must the disk.
      if (count % CHANGES_PER_SYNC === 0) await store.durable();
    }
  }
  for (const change of names.all()) {
    const directory = store.inode(change.parent);
    if (directory !== undefined && isDirectory(directory.mode)) store.commit([change]);
  }
  // What is found must not get the number of a file that the old index knows.
  const { counters } = store.internals().state;
  counters.nextIno = Math.max(counters.nextIno, index?.meta.counters.nextIno ?? 0);
  const unnamed = unnamedUnits(salvaging, damage).filter((unit) => !units.has(unit));
  const found = await putInOrder(store, unnamed, units);
  const paths = found.pathsOf([...touched.keys()]);
  const known = damage.map(untold);
  return {
    damage: (await index?.touched(log, damage)) ?? known,
    indexKnown: index !== undefined,
    differing: index === undefined ? [] : await findDiffering(index, store, changed.inos, found),
    unknownFiles: lost.unknown.size,
    found: found.names,
    files: [...touched].flatMap(([ino, zeroBytes]) =>
      (paths.get(ino) ?? []).map((path) => ({ path, zeroBytes })),
    ),
  };
}

/** What is not whole, and what is not there at all. */
async function damageOf({ log, scanned, index }: Salvaging): Promise<LogDamage[]> {
  const damage = [...log.misplaced, ...scanned.damage];
  damage.push(...((await index?.missing(log, scanned)) ?? []));
  const existing = new Set(log.list());
  const last = log.list().at(-1) ?? 1;
  for (let segment = (index?.meta.position.segment ?? 0) + 1; segment <= last; segment++) {
    if (existing.has(segment) || hasSegment(scanned.removed, segment)) continue;
    damage.push({ kind: "missing", segment, offset: 0, length: 0 });
  }
  return damage;
}

/**
 * Units that were written for a record that cannot be read: those before damage, and those at the end of the log or of a
 * segment whose successor is not whole. What the index knows as nobody's is nobody's.
 */
function unnamedUnits(
  { source, scanned, index }: Salvaging,
  damage: readonly LogDamage[],
): number[] {
  const before = damage.flatMap(({ writtenWith }) => writtenWith ?? []);
  const hurt = new Set(damage.map(({ segment }) => segment));
  const last = source.segments().at(-1);
  const atEnds = [...scanned.ends].flatMap(([segment, { units }]) =>
    segment === last || hurt.has(segment + 1) ? units : [],
  );
  const isNobodys = (unit: number): boolean => {
    const place = source.placeOf(unit);
    if (index === undefined || place === undefined) return false;
    const { state, meta } = index;
    const { segment, offset } = meta.position;
    const isCovered =
      place.segment < segment || (place.segment === segment && place.position < offset);
    return state.unit(unit) === undefined ? isCovered : state.unlinked.has(unit);
  };
  const unnamed = new Set([...before, ...source.unnamed(atEnds)]);
  return [...unnamed].filter((unit) => !isNobodys(unit));
}

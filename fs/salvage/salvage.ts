/**
 * What is whole in a store with a damaged log, as a new store. The old one is only read, and its index is not
 * needed: the log is read in order, and every change that still fits is made again (mend.ts).
 *
 * Afterwards the new store is sound: names without a file are gone, files without a name are in /lost+found, and so are
 * units that were written for a record that cannot be read (a mail that nobody's mailbox names).
 */
import * as fs from "node:fs";
import { isDirectory } from "../attributes.ts";
import { checkFormat, lockStore, unlockStore } from "../store/directory.ts";
import { StoreError } from "../store/errors.ts";
import type { LogDamage } from "../store/log-scan.ts";
import { SegmentFiles } from "../store/segment-files.ts";
import { Store } from "../store/store.ts";
import { systemDisk } from "../store/system-disk.ts";
import { EarlyMaps } from "./early-maps.ts";
import { EarlyNames } from "./early-names.ts";
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
  readonly damage: readonly LogDamage[];
  /** Files with bytes that are lost, or that a later change did not fit: their content may be mixed up. */
  readonly files: readonly SalvagedFile[];
  /** Names in /lost+found. */
  readonly found: readonly string[];
  /** Changes that concerned something that is not there. */
  readonly passedOver: number;
}

/** `target` must be missing or empty. Throws StoreError. */
export async function salvage(
  directory: string,
  target: string,
  { onProgress = () => {} }: SalvageOptions = {},
): Promise<SalvageReport> {
  checkFormat(directory, systemDisk);
  const lock = lockStore(directory);
  const files = new SegmentFiles(directory);
  let store: Store | undefined;
  try {
    if (fs.existsSync(target) && fs.readdirSync(target).length > 0) {
      throw new StoreError("STORE_FORMAT", `${target} is not empty; give a new directory`);
    }
    const source = new SalvageSource(files);
    const damage = await source.scan((part) => onProgress("reading", part));
    store = await Store.open(target, { create: true });
    const report = await copy(source, store, damage, onProgress);
    await store.close();
    store = undefined;
    return report;
  } finally {
    await store?.close();
    files.closeAll();
    unlockStore(lock);
  }
}

async function copy(
  source: SalvageSource,
  store: Store,
  damage: readonly LogDamage[],
  onProgress: (stage: string, part: number) => void,
): Promise<SalvageReport> {
  const units = new SalvagedUnits(source, store);
  const names = new EarlyNames();
  const early = { names, maps: new EarlyMaps(source.mapped) };
  const touched = new Map<number, number>();
  let passedOver = 0;
  const notes = {
    lost: (ino: number, bytes: number) => touched.set(ino, (touched.get(ino) ?? 0) + bytes),
    changed: (ino: number) => touched.set(ino, touched.get(ino) ?? 0),
    renewed: (ino: number) => touched.delete(ino),
    passedOver: () => passedOver++,
  };
  const segments = source.segments();
  for (const [k, segment] of segments.entries()) {
    onProgress("copying", k / segments.length);
    for (const [count, change] of source.changes(segment).entries()) {
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
  const unnamed = damage
    .flatMap(({ writtenWith }) => writtenWith ?? [])
    .filter((unit) => !units.has(unit));
  const found = await putInOrder(store, unnamed, units);
  const paths = found.pathsOf([...touched.keys()]);
  return {
    damage,
    passedOver,
    found: found.names,
    files: [...touched].flatMap(([ino, zeroBytes]) =>
      (paths.get(ino) ?? []).map((path) => ({ path, zeroBytes })),
    ),
  };
}

/**
 * Proves the invariants of a store that nobody has open, from the bytes on disk (`onespool fsck`):
 *
 * - log: every frame and every chunk fits its checksum, every commit can be decoded (check/unit-check.ts);
 * - units: each stands in the log where the index says, with these chunks (there too);
 * - references: counted again from all extents (pending deliveries included), they are the index's (check/file-check.ts);
 * - extents: trees are sound, extents lie in units that exist (there too);
 * - names: each names an inode that exists, of this type; both rows of a name agree; link counts and the
 *   numbers of entries are right; every directory but the root has its name in its parent; no cycle (check/name-check.ts);
 * - counters and the use of segments are what the rows add up to.
 * The index is first brought up to the log's end, as at any start.
 */
import type { Progress } from "./check/checked-store.ts";
import { CheckedStore } from "./check/checked-store.ts";
import type { ReportedDamage } from "./check/damage-report.ts";
import { untold } from "./check/damage-report.ts";
import { describeDamage } from "./check/damage-text.ts";
import { FileCheck } from "./check/file-check.ts";
import { IndexView } from "./check/index-view.ts";
import { NameCheck } from "./check/name-check.ts";
import { PROBLEMS_MAX } from "./check/problems.ts";
import { UnitCheck } from "./check/unit-check.ts";
import { checkDirectory, lockStore, unlockStore } from "./directory.ts";
import type { Disk } from "./disk/disk.ts";
import { systemDisk } from "./disk/system-disk.ts";
import { StoreError } from "./errors.ts";
import { IndexDb } from "./index/index-db.ts";
import type { FileDamage } from "./index/leveldb/check-files.ts";
import { checkLevelFiles } from "./index/leveldb/check-files.ts";
import type { LogDamage } from "./log/log-scan.ts";
import { scanLog } from "./log/log-scan.ts";
import { SegmentFiles } from "./log/segment-files.ts";
import type { StoreMedium } from "./opening.ts";
import { indexDirectory } from "./paths.ts";
import { Store } from "./store.ts";

/** Units whose places are looked for in one pass over the log, and references in one over the extents: bounds the memory. */
const UNITS_PER_PASS = 8_000_000;

export interface CheckOptions extends StoreMedium {
  readonly rebuildIndex?: boolean;
  /** Units that are looked at in one pass; fewer are for tests. */
  readonly unitsPerPass?: number;
  readonly onProgress?: Progress;
}

export interface CheckReport {
  readonly clean: boolean;
  /** Bytes that are not what was written, with the files that they touch; each is one of the problems, too. */
  readonly damage: readonly ReportedDamage[];
  readonly problems: readonly string[];
  /** All problems, also those that are not described. */
  readonly problemCount: number;
  /** What the start found: bytes of the log that the index lacked, and the torn tail that was cut off. */
  readonly replayedBytes: number;
  readonly tornBytes: number;
  /** Where that tail is kept: whole commits were in it, behind one that was not. */
  readonly savedTail: string | undefined;
  readonly indexRebuilt: boolean;
  /** Files of the index that were damaged; it was made anew. */
  readonly indexDamage: readonly FileDamage[];
  /** False: the log is damaged and there is no index that could be used, so that only the log was read. */
  readonly opened: boolean;
  readonly segments: number;
  readonly logBytes: number;
  readonly inodes: number;
  readonly names: number;
  readonly units: number;
  readonly extents: number;
  readonly pending: number;
}

/** Throws StoreError when the store cannot be opened at all. A damaged index is made anew and checked. */
export async function checkStore(
  directory: string,
  options: CheckOptions = {},
): Promise<CheckReport> {
  const progress = options.onProgress ?? (() => {});
  const indexDamage = options.indexKind === undefined ? findIndexDamage(directory) : [];
  const rebuild = options.rebuildIndex === true || indexDamage.length > 0;
  try {
    return await checkOnce(directory, options, rebuild, { progress, indexDamage });
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    if (error.code === "STORE_DAMAGED") {
      return checkLogOnly(directory, options, error.message, { progress, indexDamage });
    }
    if (error.code !== "INDEX_DAMAGED" || rebuild) throw error;
    return checkOnce(directory, options, true, { progress, indexDamage });
  }
}

interface Checking {
  readonly progress: Progress;
  readonly indexDamage: readonly FileDamage[];
}

/** Nobody may write there meanwhile. */
function findIndexDamage(directory: string): readonly FileDamage[] {
  checkDirectory(directory, systemDisk);
  const lock = lockStore(directory);
  try {
    return checkLevelFiles(indexDirectory(directory)).damage;
  } finally {
    unlockStore(lock);
  }
}

async function checkOnce(
  directory: string,
  { disk, indexKind, unitsPerPass = UNITS_PER_PASS }: CheckOptions,
  rebuildIndex: boolean,
  { progress, indexDamage }: Checking,
): Promise<CheckReport> {
  const store = await Store.open(directory, {
    ...(disk === undefined ? {} : { disk }),
    ...(indexKind === undefined ? {} : { indexKind }),
    rebuildIndex,
    onProgress: (done, total) => progress("index", total === 0 ? 1 : done / total),
  });
  try {
    await store.checkpoint();
    return await checkOpen(store, { progress, indexDamage }, unitsPerPass);
  } finally {
    await store.close();
  }
}

async function checkOpen(
  store: Store,
  { progress, indexDamage }: Checking,
  unitsPerPass: number,
): Promise<CheckReport> {
  const checked = new CheckedStore(store.internals(), progress);
  const { state, problems } = checked;
  const units = new UnitCheck(checked, unitsPerPass);
  const files = new FileCheck(checked, unitsPerPass);
  const names = new NameCheck(checked);
  await units.run();
  await files.run();
  await names.run();
  const damage = await units.reportDamage();
  const { recovered, indexRebuilt } = store;
  return {
    clean: problems.count === 0,
    opened: true,
    indexDamage,
    damage,
    problems: problems.texts,
    problemCount: problems.count,
    replayedBytes: recovered.bytes,
    tornBytes: recovered.tornBytes,
    savedTail: recovered.savedTail,
    indexRebuilt,
    segments: units.log.segments,
    logBytes: units.log.bytes,
    inodes: files.inodes,
    names: names.names,
    units: units.units,
    extents: files.extents,
    pending: state.pending.size,
  };
}

/** Of a store that does not open: what is damaged, with what it touches if there is an index. Nothing is changed. */
async function checkLogOnly(
  directory: string,
  { disk = systemDisk, indexKind = IndexDb }: StoreMedium,
  reason: string,
  { progress, indexDamage }: Checking,
): Promise<CheckReport> {
  const lock = lockStore(directory, disk);
  const files = new SegmentFiles(directory, disk);
  try {
    const onProgress = (part: number): void => progress("log", part);
    const log = await scanLog(files, { unit: () => {} }, { mayBeTorn: true, onProgress });
    const found = [...log.damage].sort((a, b) => rank(a) - rank(b));
    const known = hasIndex(directory, disk)
      ? await IndexView.open(directory, files, indexKind)
      : undefined;
    if (known !== undefined) {
      found.push(...(await known.missing(files, log)));
    }
    const damage = (await known?.touched(files, found)) ?? found.map(untold);
    await known?.close();
    const unknown = known === undefined ? "; which files are touched cannot be told" : "";
    const problems = [
      `the store cannot be opened: ${reason}${unknown}`,
      ...damage.slice(0, PROBLEMS_MAX).map((one) => describeDamage(one, known !== undefined)),
    ];
    return {
      clean: false,
      opened: false,
      damage,
      problems,
      problemCount: 1 + damage.length,
      indexDamage,
      indexRebuilt: false,
      replayedBytes: 0,
      tornBytes: 0,
      savedTail: undefined,
      segments: log.segments,
      logBytes: log.bytes,
      inodes: 0,
      names: 0,
      units: 0,
      extents: 0,
      pending: 0,
    };
  } finally {
    files.closeAll();
    unlockStore(lock, disk);
  }
}

/** The wrong file under a name is the cause of what else is found. */
function rank({ kind }: LogDamage): number {
  return kind === "misplaced" ? 0 : 1;
}

/** Opening would make one. */
function hasIndex(directory: string, disk: Disk): boolean {
  return disk.exists(indexDirectory(directory));
}

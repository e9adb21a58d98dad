/**
 * Proves the invariants of a store that nobody has open, from the bytes on disk (`onespool fsck`):
 *
 * - log: every frame and every chunk fits its checksum, every commit can be decoded;
 * - units: each stands in the log where the index says, with these chunks;
 * - references: counted again from all extents (pending deliveries included), they are the index's;
 * - extents: trees are sound, extents lie in units that exist;
 * - names: each names an inode that exists, of this type; both rows of a name agree; link counts and the
 *   numbers of entries are right; every directory but the root has its name in its parent; no cycle;
 * - counters and the use of segments are what the rows add up to.
 * The index is first brought up to the log's end, as at any start.
 */
import { ByteReader } from "../../base/bytes.ts";
import { isDirectory, isRegular, S_IFDIR, S_IFMT } from "../attributes.ts";
import type { Extent } from "./change.ts";
import { ROOT_INO } from "./counters.ts";
import type { ReportedDamage } from "./damage-report.ts";
import { reportDamage } from "./damage-report.ts";
import { describeDamage } from "./damage-text.ts";
import { decodeCookieRow, decodeNameRow } from "./dentry.ts";
import { checkFormat, lockStore, unlockStore } from "./directory.ts";
import { StoreError } from "./errors.ts";
import type { FileDamage } from "./leveldb/check-files.ts";
import { checkLevelFiles } from "./leveldb/check-files.ts";
import { indexDirectory } from "./paths.ts";
import { SegmentFiles } from "./segment-files.ts";
import { systemDisk } from "./system-disk.ts";
import type { Inode } from "./inode.ts";
import { isOffcut } from "./inode.ts";
import { cookieKey, firstNumber, kindRange, secondNumber, unitKey } from "./keys.ts";
import type { StoreMedium } from "./opening.ts";
import type { ScannedLog } from "./log-scan.ts";
import { scanLog } from "./log-scan.ts";
import type { PlacedBytes } from "./lost-bytes.ts";
import { lostBytesOf, withLostBytes, withMissing } from "./lost-bytes.ts";
import { ReferenceSums } from "./reference-sums.ts";
import { addReferences, bytesReferenced, unreferenced } from "./references.ts";
import type { UnitFrame } from "./frame.ts";
import type { KeyRange } from "./store-index.ts";
import type { StoreInternals } from "./store.ts";
import { Store } from "./store.ts";
import { Tally } from "./tally.ts";
import type { Unit } from "./unit.ts";
import { decodeUnit } from "./unit.ts";
import { UnitPlaces, UnitRanges } from "./unit-places.ts";

/** Problems that are described in full; the rest is counted. */
const PROBLEMS_MAX = 100;
/** Units whose places are looked for in one pass over the log, and references in one over the extents: bounds the memory. */
const UNITS_PER_PASS = 8_000_000;
const UNITS_AT_ONCE = 1_000;

export interface CheckOptions extends StoreMedium {
  readonly rebuildIndex?: boolean;
  /** Units that are looked at in one pass; fewer are for tests. */
  readonly unitsPerPass?: number;
  /** A stage and how much of it is done (0..1). */
  readonly onProgress?: (stage: string, part: number) => void;
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
  readonly progress: (stage: string, part: number) => void;
  readonly indexDamage: readonly FileDamage[];
}

/** Nobody may write there meanwhile. */
function findIndexDamage(directory: string): readonly FileDamage[] {
  checkFormat(directory, systemDisk);
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
    const check = new Check(store.internals(), progress, unitsPerPass);
    await store.checkpoint();
    await check.run();
    return check.report(store, indexDamage);
  } finally {
    await store.close();
  }
}

/** Of a store that does not open: what is damaged, without what it touches. */
async function checkLogOnly(
  directory: string,
  { disk = systemDisk }: StoreMedium,
  reason: string,
  { progress, indexDamage }: Checking,
): Promise<CheckReport> {
  const lock = lockStore(directory, disk);
  const files = new SegmentFiles(directory, disk);
  try {
    const onProgress = (part: number): void => progress("log", part);
    const log = await scanLog(files, { unit: () => {} }, { mayBeTorn: true, onProgress });
    const damage = log.damage.map((found) => {
      const unknown = { lostBytes: [], files: [], fileCount: 0, pendingCount: 0 };
      return Object.assign(unknown, found);
    });
    const problems = [
      `the store cannot be opened: ${reason}; which files are touched cannot be told`,
      ...damage.slice(0, PROBLEMS_MAX).map((found) => describeDamage(found, false)),
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

function addTo(sums: ReferenceSums, extents: readonly Extent[]): void {
  for (const { unit, offset, length } of extents) {
    if (unit !== 0) sums.found(unit, offset, length);
  }
}

class Check {
  readonly #store: StoreInternals;
  readonly #progress: (stage: string, part: number) => void;
  readonly #problems: string[] = [];
  #problemCount = 0;
  #names = 0;
  #units = 0;
  #inodes = 0;
  #extents = 0;
  readonly #unitsPerPass: number;
  readonly #unitRanges = new UnitRanges();
  #log: ScannedLog = { segments: 0, bytes: 0, damage: [] };
  /** Segments with records that cannot be read: units that stand there are looked at by themselves. */
  readonly #damaged = new Set<number>();
  readonly #lost: PlacedBytes[] = [];
  #damage: readonly ReportedDamage[] = [];
  /** Bytes of units in each segment, by its frames. */
  readonly #unitBytes = new Map<number, number>();

  constructor(
    store: StoreInternals,
    progress: (stage: string, part: number) => void,
    unitsPerPass: number,
  ) {
    this.#store = store;
    this.#progress = progress;
    this.#unitsPerPass = unitsPerPass;
  }

  async run(): Promise<void> {
    const places = await this.#unitsFrom(0);
    await this.#checkLog(places);
    await this.#checkUnitRows(places);
    await this.#checkInodes();
    await this.#checkNames();
    await this.#reportDamage();
  }

  report(store: Store, indexDamage: readonly FileDamage[]): CheckReport {
    const { recovered, indexRebuilt } = store;
    if (recovered.savedTail !== undefined) {
      this.#problem(
        `${recovered.tornBytes} bytes with whole commits among them stood behind a bad frame and were ` +
          `taken off the log; they are kept in ${recovered.savedTail}`,
      );
    }
    return {
      clean: this.#problemCount === 0,
      opened: true,
      indexDamage,
      damage: this.#damage,
      problems: this.#problems,
      problemCount: this.#problemCount,
      replayedBytes: recovered.bytes,
      tornBytes: recovered.tornBytes,
      indexRebuilt,
      segments: this.#log.segments,
      logBytes: this.#log.bytes,
      inodes: this.#inodes,
      names: this.#names,
      units: this.#units,
      extents: this.#extents,
      pending: this.#store.state.pending.size,
    };
  }

  #problem(text: string): void {
    this.#problemCount++;
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push(text);
  }

  /** The next units of the index, whose places are looked for in the log next. */
  async #unitsFrom(first: number): Promise<UnitPlaces> {
    const { index, state } = this.#store;
    const countMax = Math.min(this.#unitsPerPass, state.counters.nextUnit + 1);
    const places = new UnitPlaces(countMax);
    const rows = index.rows({ ...kindRange("u"), gte: unitKey(first) });
    try {
      while (!places.isFull) {
        const some = await rows.next(UNITS_AT_ONCE);
        if (some.length === 0) break;
        for (const [key] of some) if (!places.isFull) places.addUnit(firstNumber(key));
      }
    } finally {
      await rows.close();
    }
    return places;
  }

  /** Reads what the log has of further units; what is damaged there is known. */
  async #findPlaces(places: UnitPlaces, first: number): Promise<void> {
    const { files } = this.#store;
    const list = (): number[] =>
      files.list().filter((segment) => this.#unitRanges.mayHave(segment, first, places.last));
    const some: Parameters<typeof scanLog>[0] = {
      list,
      length: (segment) => files.length(segment),
      read: (...range) => files.read(...range),
    };
    const unit = (segment: number, frame: UnitFrame): void =>
      places.found(frame.unit.id, segment, frame.position);
    await scanLog(some, { unit }, { mayBeTorn: false });
  }

  async #checkLog(places: UnitPlaces): Promise<void> {
    const count = (segment: number, frame: UnitFrame): void => {
      places.found(frame.unit.id, segment, frame.position);
      this.#unitRanges.add(frame.unit.id, segment);
      const before = this.#unitBytes.get(segment) ?? 0;
      this.#unitBytes.set(segment, before + frame.dataLength);
    };
    const onProgress = (part: number): void => this.#progress("log", part);
    this.#log = await scanLog(this.#store.files, { unit: count }, { mayBeTorn: false, onProgress });
    this.#log = withMissing(this.#log, this.#store);
    for (const { kind, segment } of this.#log.damage) {
      if (kind !== "data") this.#damaged.add(segment);
    }
  }

  async #checkUnitRows(firstPlaces: UnitPlaces): Promise<void> {
    const { state } = this.#store;
    let places = firstPlaces;
    let stored = 0;
    let shared = 0;
    const liveIn = new Map<number, number>();
    const check = (key: Buffer, value: Buffer): void => {
      const unit = decodeUnit(firstNumber(key), new ByteReader(value));
      this.#units++;
      this.#checkPlace(unit, places);
      const live = bytesReferenced(unit.runs, 1);
      stored += live;
      shared += bytesReferenced(unit.runs, 2);
      liveIn.set(unit.segment, (liveIn.get(unit.segment) ?? 0) + live);
      if (live === 0 && !state.unlinked.has(unit.id)) {
        this.#problem(`unit ${unit.id} is kept although nothing references it`);
      }
    };
    for (let first = 0; ;) {
      const { isFull, last } = places;
      const range = { ...kindRange("u"), gte: unitKey(first) };
      await this.#each("u", check, isFull ? { ...range, lt: unitKey(last + 1) } : range);
      if (!isFull) break;
      first = last + 1;
      places = await this.#unitsFrom(first);
      await this.#findPlaces(places, first);
    }
    const { counters } = state;
    this.#expect("units", this.#units, counters.units);
    this.#expect("stored bytes", stored, counters.storedBytes);
    this.#expect("shared bytes", shared, counters.sharedBytes);
    let unitBytes = 0;
    for (const bytes of this.#unitBytes.values()) unitBytes += bytes;
    // What stands in a damaged record cannot be counted.
    if (this.#damaged.size === 0) this.#expect("unit bytes", unitBytes, counters.unitBytes);
    for (const use of state.segments.values()) {
      const live = liveIn.get(use.segment) ?? 0;
      this.#expect(`live bytes of segment ${use.segment}`, live, use.liveBytes);
      if (this.#damaged.has(use.segment)) continue;
      const bytes = this.#unitBytes.get(use.segment) ?? 0;
      this.#expect(`unit bytes of segment ${use.segment}`, bytes, use.unitBytes);
    }
  }

  #checkPlace(unit: Unit, places: UnitPlaces): void {
    const { id, segment, position } = unit;
    if (places.isAt(id, segment, position)) return;
    if (!this.#damaged.has(segment)) {
      this.#problem(`unit ${id} is not where the index says it is`);
      return;
    }
    this.#lost.push(...lostBytesOf(this.#store.files, unit));
  }

  async #reportDamage(): Promise<void> {
    const damage = withLostBytes(this.#store.state, this.#log.damage, this.#lost);
    this.#damage = await reportDamage(this.#store, damage);
    for (const found of this.#damage) this.#problem(describeDamage(found));
  }

  /** Trees, and references added up again in passes over all extents, some units each. */
  async #checkInodes(): Promise<void> {
    const last = this.#store.state.counters.nextUnit;
    for (let from = 1; from === 1 || from < last; from += this.#unitsPerPass) {
      const to = Math.min(last, from + this.#unitsPerPass);
      const sums = new ReferenceSums(from, to);
      await this.#each("u", (key, value) => {
        const id = firstNumber(key);
        if (id >= from && id < to) sums.expect(id, decodeUnit(id, new ByteReader(value)).runs);
      });
      const isFirst = from === 1;
      if (isFirst) await this.#checkFiles(sums, last);
      else await this.#eachFile((extents) => addTo(sums, extents));
      const differing = sums.differing(PROBLEMS_MAX + 1);
      if (differing.size > 0) await this.#describeReferences(differing);
    }
  }

  /** With what there is to be looked at in each file once. */
  async #checkFiles(sums: ReferenceSums, nextUnit: number): Promise<void> {
    const { state } = this.#store;
    let logical = 0n;
    let directories = 0;
    let files = 0;
    await this.#eachFile((extents, of, inode) => {
      addTo(sums, extents);
      for (const { unit } of extents) {
        if (unit >= nextUnit)
          this.#problem(`${of} has an extent of unit ${unit}, which is not there`);
      }
      if (inode === undefined) return;
      this.#inodes++;
      this.#extents += extents.length;
      if (isDirectory(inode.mode)) directories++;
      else if (!isOffcut(inode.mode)) files++;
      if (isRegular(inode.mode)) logical += BigInt(inode.size);
      try {
        inode.tree.check();
      } catch (error) {
        this.#problem(`${of}: ${(error as Error).message}`);
      }
    });
    this.#expect("files", files, state.counters.files);
    this.#expect("directories", directories, state.counters.directories);
    this.#expect("logical bytes", logical, state.counters.logicalBytes);
  }

  /** What is wrong with the references of some units, counted one by one. */
  async #describeReferences(units: ReadonlySet<number>): Promise<void> {
    const { state } = this.#store;
    const counted = new Map<number, number[]>();
    await this.#eachFile((extents, of) => {
      for (const { unit: id, offset, length } of extents) {
        if (!units.has(id)) continue;
        const unit = state.unit(id);
        if (unit === undefined || offset + length > unit.length) {
          this.#problem(`${of} has an extent of unit ${id}, which has no such bytes`);
          continue;
        }
        const runs = counted.get(id) ?? unreferenced(unit.length);
        counted.set(id, addReferences(runs, offset, length, 1, { live: 0, shared: 0 }));
      }
    });
    for (const id of units) {
      const unit = state.unit(id);
      if (unit === undefined) continue;
      const runs = (counted.get(id) ?? unreferenced(unit.length)).join(" ");
      if (runs !== unit.runs.join(" ")) {
        this.#problem(`unit ${id} has references ${unit.runs.join(" ")}, not ${runs}`);
      }
    }
  }

  /** All inodes with their extents, and the extents of pending deliveries. */
  async #eachFile(
    visit: (extents: readonly Extent[], of: string, inode?: Inode) => void,
  ): Promise<void> {
    const { state } = this.#store;
    await this.#each("i", (key) => {
      const inode = state.inode(firstNumber(key));
      if (inode === undefined) return;
      visit(inode.tree.slice(0, inode.size), `inode ${inode.ino}`, inode);
      if (state.full) state.sweep();
    });
    for (const { change } of state.pending.values()) {
      visit(change.extents, `pending delivery ${change.id}`);
    }
  }

  async #checkNames(): Promise<void> {
    const { state, index } = this.#store;
    const links = new Tally();
    const entries = new Tally();
    const subdirectories = new Tally();
    await this.#each("d", (key, value) => {
      this.#names++;
      const parent = firstNumber(key);
      const name = key.toString("latin1", 7);
      const row = decodeNameRow(parent, name, new ByteReader(value));
      const where = `name ${JSON.stringify(name)} in directory ${parent}`;
      entries.add(parent);
      links.add(row.ino);
      const inode = state.inode(row.ino);
      if (inode === undefined) this.#problem(`${where} names inode ${row.ino}, which is not there`);
      else if ((inode.mode & S_IFMT) !== row.fileType) this.#problem(`${where} has a wrong type`);
      if (row.fileType === S_IFDIR) {
        subdirectories.add(parent);
        if (inode !== undefined && inode.parent !== parent) {
          this.#problem(`${where} is a directory whose parent is ${inode.parent}`);
        }
      }
      const other = index.get(cookieKey(parent, row.cookie));
      const twin = other && decodeCookieRow(parent, row.cookie, new ByteReader(other));
      if (twin?.name !== name || twin.ino !== row.ino) {
        this.#problem(`${where} and its row in the order of cookies differ`);
      }
      if (state.full) state.sweep();
    });
    let cookies = 0;
    await this.#each("e", (key) => {
      cookies++;
      const parent = state.inode(firstNumber(key));
      if (parent !== undefined && secondNumber(key) > parent.lastCookie) {
        this.#problem(`directory ${parent.ino} has a cookie that it never gave`);
      }
    });
    this.#expect("names in the order of cookies", cookies, this.#names);
    await this.#each("i", (key) => {
      const inode = state.inode(firstNumber(key));
      if (inode === undefined) return;
      const named = links.get(inode.ino);
      const label = `inode ${inode.ino}`;
      if (isDirectory(inode.mode)) {
        this.#expect(`entries of ${label}`, entries.get(inode.ino), inode.entryCount);
        const rooted = inode.ino === ROOT_INO || named === 1;
        if (inode.nlink > 0) {
          if (!rooted) this.#problem(`${label} is a directory with ${named} names`);
          this.#expect(`links of ${label}`, 2 + subdirectories.get(inode.ino), inode.nlink);
          if (!this.#reachesRoot(inode.ino)) this.#problem(`${label} is not below the root`);
        }
      } else {
        this.#expect(`links of ${label}`, named, inode.nlink);
      }
      if (inode.nlink === 0 && !state.orphans.has(inode.ino)) {
        this.#problem(`${label} has no name and is not known as an orphan`);
      }
      if (state.full) state.sweep();
    });
    for (const { change } of state.pending.values()) {
      const directory = state.inode(change.parent);
      if (directory === undefined || !isDirectory(directory.mode)) {
        this.#problem(
          `pending delivery ${change.id} waits in directory ${change.parent}: not there`,
        );
      }
    }
  }

  #reachesRoot(start: number): boolean {
    const seen = new Set<number>();
    for (let ino = start; ino !== ROOT_INO;) {
      if (seen.has(ino)) return false;
      seen.add(ino);
      const directory = this.#store.state.inode(ino);
      if (directory === undefined || !isDirectory(directory.mode)) return false;
      ino = directory.parent;
    }
    return true;
  }

  #expect<N extends number | bigint>(what: string, found: N, recorded: N): void {
    if (found !== recorded) this.#problem(`${what}: ${found} by counting, ${recorded} recorded`);
  }

  async #each(
    kind: "i" | "d" | "e" | "u",
    visit: (key: Buffer, value: Buffer) => void,
    range: KeyRange = kindRange(kind),
  ): Promise<void> {
    const stage = { i: "inodes", d: "names", e: "names", u: "units" }[kind];
    let done = 0;
    await this.#store.index.each(range, (key, value) => {
      visit(key, value);
      // How many there are is not known: the part nears 1.
      if (++done % 1000 === 0) this.#progress(stage, done / (done + 10_000));
    });
  }
}

/**
 * Proves that the log is whole, that each unit stands in it where the index says, and that what is counted of units, in
 * all and in each segment, is what the log and the rows add up to.
 */
import { ByteReader } from "../../../base/bytes.ts";
import { firstNumber, kindRange, unitKey } from "../index/keys.ts";
import type { UnitFrame } from "../log/frame.ts";
import type { ScannedLog } from "../log/log-scan.ts";
import { scanLog } from "../log/log-scan.ts";
import { bytesReferenced } from "../state/references.ts";
import type { Unit } from "../state/unit.ts";
import { decodeUnit } from "../state/unit.ts";
import type { CheckedStore } from "./checked-store.ts";
import type { ReportedDamage } from "./damage-report.ts";
import { reportDamage } from "./damage-report.ts";
import { describeDamage } from "./damage-text.ts";
import type { PlacedBytes } from "./lost-bytes.ts";
import { lostBytesOf, withLostBytes, withMissing } from "./lost-bytes.ts";
import { UnitPlaces, UnitRanges } from "./unit-places.ts";

const UNITS_AT_ONCE = 1_000;

export class UnitCheck {
  readonly #store: CheckedStore;
  readonly #unitsPerPass: number;
  readonly #ranges = new UnitRanges();
  /** Bytes of units in each segment, by its frames. */
  readonly #unitBytes = new Map<number, number>();
  /** Segments with records that cannot be read: units that stand there are looked at by themselves. */
  readonly #damaged = new Set<number>();
  readonly #lost: PlacedBytes[] = [];
  log: ScannedLog = { segments: 0, bytes: 0, damage: [], removed: [], ends: new Map() };
  units = 0;

  constructor(store: CheckedStore, unitsPerPass: number) {
    this.#store = store;
    this.#unitsPerPass = unitsPerPass;
  }

  async run(): Promise<void> {
    const places = await this.#unitsFrom(0);
    await this.#scanLog(places);
    await this.#checkRows(places);
  }

  /** What is damaged, with the files that it touches; each is a problem, too. Behind everything else. */
  async reportDamage(): Promise<readonly ReportedDamage[]> {
    const { internals, state, problems } = this.#store;
    const damage = withLostBytes(state, this.log.damage, this.#lost);
    const reported = await reportDamage(internals, damage);
    for (const found of reported) problems.add(describeDamage(found));
    return reported;
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

  async #scanLog(places: UnitPlaces): Promise<void> {
    const { files, internals, progress } = this.#store;
    const unit = (segment: number, frame: UnitFrame): void => {
      places.found(frame.unit.id, segment, frame.position);
      this.#ranges.add(frame.unit.id, segment);
      const before = this.#unitBytes.get(segment) ?? 0;
      this.#unitBytes.set(segment, before + frame.dataLength);
    };
    const onProgress = (part: number): void => progress("log", part);
    const log = await scanLog(files, { unit }, { mayBeTorn: false, onProgress });
    this.log = withMissing(log, internals);
    for (const { kind, segment } of this.log.damage) {
      if (kind !== "data") this.#damaged.add(segment);
    }
  }

  /** Reads what the log has of further units; what is damaged there is known. */
  async #findPlaces(places: UnitPlaces, first: number): Promise<void> {
    const { files } = this.#store;
    const list = (): number[] =>
      files.list().filter((segment) => this.#ranges.mayHave(segment, first, places.last));
    const some: Parameters<typeof scanLog>[0] = {
      list,
      length: (segment) => files.length(segment),
      read: (...range) => files.read(...range),
    };
    const unit = (segment: number, frame: UnitFrame): void =>
      places.found(frame.unit.id, segment, frame.position);
    await scanLog(some, { unit }, { mayBeTorn: false });
  }

  async #checkRows(firstPlaces: UnitPlaces): Promise<void> {
    const { state, problems } = this.#store;
    let places = firstPlaces;
    let stored = 0;
    let shared = 0;
    const liveIn = new Map<number, number>();
    const check = (key: Buffer, value: Buffer): void => {
      const unit = decodeUnit(firstNumber(key), new ByteReader(value));
      this.units++;
      this.#checkPlace(unit, places);
      const live = bytesReferenced(unit.runs, 1);
      stored += live;
      shared += bytesReferenced(unit.runs, 2);
      liveIn.set(unit.segment, (liveIn.get(unit.segment) ?? 0) + live);
      if (live === 0 && !state.unlinked.has(unit.id)) {
        problems.add(`unit ${unit.id} is kept although nothing references it`);
      }
    };
    for (let first = 0; ;) {
      const { isFull, last } = places;
      const range = { ...kindRange("u"), gte: unitKey(first) };
      const upToLast = isFull ? { ...range, lt: unitKey(last + 1) } : range;
      await this.#store.eachRow("u", check, upToLast);
      if (!isFull) break;
      first = last + 1;
      places = await this.#unitsFrom(first);
      await this.#findPlaces(places, first);
    }
    problems.expect("units", this.units, state.counters.units);
    problems.expect("stored bytes", stored, state.counters.storedBytes);
    problems.expect("shared bytes", shared, state.counters.sharedBytes);
    this.#checkSegments(liveIn);
  }

  #checkPlace(unit: Unit, places: UnitPlaces): void {
    const { id, segment, position } = unit;
    if (places.isAt(id, segment, position)) return;
    if (!this.#damaged.has(segment)) {
      this.#store.problems.add(`unit ${id} is not where the index says it is`);
      return;
    }
    this.#lost.push(...lostBytesOf(this.#store.files, unit));
  }

  /** What stands in a damaged record cannot be counted. */
  #checkSegments(liveIn: ReadonlyMap<number, number>): void {
    const { state, problems } = this.#store;
    let unitBytes = 0;
    for (const bytes of this.#unitBytes.values()) unitBytes += bytes;
    if (this.#damaged.size === 0) {
      problems.expect("unit bytes", unitBytes, state.counters.unitBytes);
    }
    for (const { segment, liveBytes, unitBytes: recorded } of state.segments.values()) {
      problems.expect(`live bytes of segment ${segment}`, liveIn.get(segment) ?? 0, liveBytes);
      if (this.#damaged.has(segment)) continue;
      const found = this.#unitBytes.get(segment) ?? 0;
      problems.expect(`unit bytes of segment ${segment}`, found, recorded);
    }
  }
}

/**
 * The index of a store that cannot be opened, as it is: which files damage of the log touches, and what the log should have
 * that it has not. Nothing is read from the log but bytes of units.
 */
import { ByteReader } from "../../../base/bytes.ts";
import { StoreError } from "../errors.ts";
import { firstNumber, kindRange } from "../index/keys.ts";
import type { IndexKind, StoreIndex } from "../index/store-index.ts";
import type { LogDamage, ScannedLog } from "../log/log-scan.ts";
import type { SegmentFiles } from "../log/segment-files.ts";
import { loadState } from "../opening.ts";
import { storedLength } from "../records/chunks.ts";
import { SEGMENT_HEADER_LENGTH } from "../records/format.ts";
import { hasSegment } from "../records/segment-set.ts";
import type { Inode } from "../state/inode.ts";
import type { Meta } from "../state/meta-row.ts";
import { State } from "../state/state.ts";
import type { Unit } from "../state/unit.ts";
import { decodeUnit } from "../state/unit.ts";
import type { ReportedDamage } from "./damage-report.ts";
import { namesOf, reportDamage } from "./damage-report.ts";
import type { PlacedBytes } from "./lost-bytes.ts";
import { lostBytesOf, withLostBytes } from "./lost-bytes.ts";

export type LogFiles = Pick<SegmentFiles, "list" | "length" | "read">;

/** So many units of which none stands in the log where the index says are those of another store. */
const UNITS_COMPARED = 1_000;

export class IndexView {
  readonly state: State;
  readonly meta: Meta;
  readonly #index: StoreIndex;

  private constructor(index: StoreIndex, state: State, meta: Meta) {
    this.#index = index;
    this.state = state;
    this.meta = meta;
  }

  /** Undefined when there is none, or it is damaged, or another store's. `store` is the directory that it is in. */
  static async open(
    store: string,
    files: LogFiles,
    kind: IndexKind,
  ): Promise<IndexView | undefined> {
    let index: StoreIndex | undefined;
    try {
      index = await kind.open(store);
      const state = new State(index);
      const meta = await loadState(index, state);
      if (meta !== undefined) {
        const view = new IndexView(index, state, meta);
        if (await view.#isOf(files)) return view;
      }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
    }
    await index?.close();
    return undefined;
  }

  close(): Promise<void> {
    return this.#index.close();
  }

  async #isOf(files: LogFiles): Promise<boolean> {
    const existing = new Set(files.list());
    let compared = 0;
    let isFound = false;
    await this.#eachUnit((unit) => {
      if (isFound || compared >= UNITS_COMPARED || !existing.has(unit.segment)) return;
      compared++;
      isFound = lostBytesOf(files, unit).length === 0;
    });
    return isFound || compared === 0;
  }

  async #eachUnit(visit: (unit: Unit) => void): Promise<void> {
    await this.#index.each(kindRange("u"), (key, value) => {
      visit(decodeUnit(firstNumber(key), new ByteReader(value)));
    });
  }

  /**
   * What the log lacks, by what the index knows of it. Cleaning may have removed segments that it does not know of yet.
   */
  async missing(files: LogFiles, { ends, removed, damage }: ScannedLog): Promise<LogDamage[]> {
    const { segment: last, offset } = this.meta.position;
    const wanted = new Map([[last, offset]]);
    await this.#eachUnit(({ segment, position, chunks }) => {
      const end = position + storedLength(chunks);
      wanted.set(segment, Math.max(end, wanted.get(segment) ?? 0));
    });
    const existing = new Set(files.list());
    const missing: LogDamage[] = [];
    for (let segment = 1; segment <= last; segment++) {
      const end = wanted.get(segment) ?? 0;
      if (existing.has(segment)) {
        // What is not whole before that is told already.
        const told = damage.filter((found) => found.segment === segment && found.kind !== "data");
        const from = ends.get(segment)?.offset ?? 0;
        const at = Math.max(SEGMENT_HEADER_LENGTH, from, ...told.map(endOf));
        const writtenWith = ends.get(segment)?.units ?? [];
        const cut = { kind: "cut", segment, offset: at, length: end - at, writtenWith } as const;
        if (at < end) missing.push(cut);
      } else if (!hasSegment(this.meta.removed, segment) && !hasSegment(removed, segment)) {
        missing.push({ kind: "missing", segment, offset: 0, length: end });
      }
    }
    return missing;
  }

  async eachInode(visit: (inode: Inode) => void): Promise<void> {
    await this.#index.each(kindRange("i"), (key) => {
      const inode = this.state.inode(firstNumber(key));
      if (inode !== undefined) visit(inode);
      if (this.state.full) this.state.sweep();
    });
  }

  /** Byte strings in latin1, from the root of the store. */
  pathsOf(inos: ReadonlySet<number>): Promise<Map<number, string[]>> {
    return namesOf(this.#index, inos);
  }

  async touched(files: LogFiles, damage: readonly LogDamage[]): Promise<ReportedDamage[]> {
    if (damage.length === 0) return [];
    const damaged = new Set(
      damage.filter(({ kind }) => kind !== "data").map(({ segment }) => segment),
    );
    const list = files.list();
    const known: Pick<LogFiles, "list" | "read"> = {
      list: () => list,
      read: (...range) => files.read(...range),
    };
    const lost: PlacedBytes[] = [];
    await this.#eachUnit((unit) => {
      if (damaged.has(unit.segment)) lost.push(...lostBytesOf(known, unit));
    });
    const { state } = this;
    return reportDamage({ state, index: this.#index }, withLostBytes(state, damage, lost));
  }
}

function endOf({ offset, length }: LogDamage): number {
  return offset + length;
}

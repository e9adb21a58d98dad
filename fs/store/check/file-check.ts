/**
 * Proves that the extents of every file lie in units that exist, that their trees are sound, and that the references
 * which units' rows count are those that all extents make, pending deliveries' included.
 */
import { ByteReader } from "../../../base/bytes.ts";
import { isDirectory, isRegular } from "../../attributes.ts";
import { firstNumber } from "../index/keys.ts";
import type { Extent } from "../records/change.ts";
import { isOffcut } from "../records/offcut.ts";
import type { Inode } from "../state/inode.ts";
import { addReferences, unreferenced } from "../state/references.ts";
import { decodeUnit } from "../state/unit.ts";
import type { CheckedStore } from "./checked-store.ts";
import { PROBLEMS_MAX } from "./problems.ts";
import { ReferenceSums } from "./reference-sums.ts";

export class FileCheck {
  readonly #store: CheckedStore;
  readonly #unitsPerPass: number;
  inodes = 0;
  extents = 0;

  constructor(store: CheckedStore, unitsPerPass: number) {
    this.#store = store;
    this.#unitsPerPass = unitsPerPass;
  }

  /** References are added up in passes over all extents, some units each. */
  async run(): Promise<void> {
    const last = this.#store.state.counters.nextUnit;
    for (let from = 1; from === 1 || from < last; from += this.#unitsPerPass) {
      const to = Math.min(last, from + this.#unitsPerPass);
      const sums = new ReferenceSums(from, to);
      await this.#store.eachRow("u", (key, value) => {
        const id = firstNumber(key);
        if (id >= from && id < to) sums.expect(id, decodeUnit(id, new ByteReader(value)).runs);
      });
      const isFirst = from === 1;
      if (isFirst) await this.#checkFiles(sums, last);
      else await this.#store.eachFile((extents) => addTo(sums, extents));
      const differing = sums.differing(PROBLEMS_MAX + 1);
      if (differing.size > 0) await this.#describeReferences(differing);
    }
  }

  /** With what there is to be looked at in each file once. */
  async #checkFiles(sums: ReferenceSums, nextUnit: number): Promise<void> {
    const { state, problems } = this.#store;
    let logical = 0n;
    let directories = 0;
    let files = 0;
    await this.#store.eachFile((extents, of, inode) => {
      addTo(sums, extents);
      for (const { unit } of extents) {
        if (unit >= nextUnit) {
          problems.add(`${of} has an extent of unit ${unit}, which is not there`);
        }
      }
      if (inode === undefined) return;
      this.inodes++;
      this.extents += extents.length;
      if (isDirectory(inode.mode)) directories++;
      else if (!isOffcut(inode.mode)) files++;
      if (isRegular(inode.mode)) logical += BigInt(inode.size);
      this.#checkTree(inode, of);
    });
    problems.expect("files", files, state.counters.files);
    problems.expect("directories", directories, state.counters.directories);
    problems.expect("logical bytes", logical, state.counters.logicalBytes);
  }

  #checkTree(inode: Inode, of: string): void {
    try {
      inode.tree.check();
    } catch (error) {
      this.#store.problems.add(`${of}: ${(error as Error).message}`);
    }
  }

  /** What is wrong with the references of some units, counted one by one. */
  async #describeReferences(units: ReadonlySet<number>): Promise<void> {
    const { state, problems } = this.#store;
    const counted = new Map<number, number[]>();
    await this.#store.eachFile((extents, of) => {
      for (const { unit: id, offset, length } of extents) {
        if (!units.has(id)) continue;
        const unit = state.unit(id);
        if (unit === undefined || offset + length > unit.length) {
          problems.add(`${of} has an extent of unit ${id}, which has no such bytes`);
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
        problems.add(`unit ${id} has references ${unit.runs.join(" ")}, not ${runs}`);
      }
    }
  }
}

function addTo(sums: ReferenceSums, extents: readonly Extent[]): void {
  for (const { unit, offset, length } of extents) {
    if (unit !== 0) sums.found(unit, offset, length);
  }
}

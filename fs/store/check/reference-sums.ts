/**
 * Whether the references of all files to units are those that the units' rows say, told by two sums for each unit instead
 * of a list: each extent adds h(end) - h(start) for two functions h that mix their argument, and so does each
 * run of a row, as often as it counts. The sums are equal if the counts of all bytes are, and otherwise almost
 * never (once in 2^64).
 */
import type { Runs } from "../state/references.ts";

/** From the same units, one for each: what the rows say minus what was found. */
const SUMS = 2;

function mix(value: number, factor: number): number {
  let h = Math.imul(value + 0x9e37_79b9, factor);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b_3c6d);
  h = Math.imul(h ^ (h >>> 12), 0x297a_2d39);
  return h ^ (h >>> 15);
}

const first = (offset: number): number => mix(offset, 0x85eb_ca6b);
const second = (offset: number): number => mix(offset, 0x27d4_eb2f);

export class ReferenceSums {
  readonly #from: number;
  readonly #sums: Int32Array;

  /** For the units from `from` to `to` - 1. */
  constructor(from: number, to: number) {
    this.#from = from;
    this.#sums = new Int32Array(SUMS * Math.max(0, to - from));
  }

  /** What a unit's row says. */
  expect(unit: number, runs: Runs): void {
    let at = 0;
    for (let k = 0; k < runs.length; k += 2) {
      const end = at + (runs[k] as number);
      const count = runs[k + 1] as number;
      if (count > 0) this.#add(unit, at, end, count);
      at = end;
    }
  }

  /** An extent that was found. */
  found(unit: number, offset: number, length: number): void {
    this.#add(unit, offset, offset + length, -1);
  }

  #add(unit: number, start: number, end: number, count: number): void {
    const k = SUMS * (unit - this.#from);
    const sums = this.#sums;
    if (k < 0 || k >= sums.length) return;
    sums[k] = (sums[k] as number) + Math.imul(count, first(end) - first(start));
    sums[k + 1] = (sums[k + 1] as number) + Math.imul(count, second(end) - second(start));
  }

  /** Units whose row is wrong, or missing, or whose files are; the first ones. */
  differing(countMax: number): Set<number> {
    const units = new Set<number>();
    const sums = this.#sums;
    for (let k = 0; k < sums.length && units.size < countMax; k += SUMS) {
      if (sums[k] !== 0 || sums[k + 1] !== 0) units.add(this.#from + k / SUMS);
    }
    return units;
  }
}

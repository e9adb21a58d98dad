/**
 * Where the last frame of each unit stands in the log, for some units at a time: what fsck compares the index with. A store
 * may have more units than a Map takes (2^24), and each takes several times the memory there.
 */
import { placeOf } from "../records/place.ts";

export class UnitPlaces {
  /** Ascending. */
  readonly #ids: Float64Array;
  /** 0: no frame. */
  readonly #places: Float64Array;
  #count = 0;

  constructor(countMax: number) {
    this.#ids = new Float64Array(countMax);
    this.#places = new Float64Array(countMax);
  }

  get isFull(): boolean {
    return this.#count === this.#ids.length;
  }

  /** The last unit that it is about; 0 if it is about none. */
  get last(): number {
    return this.#count === 0 ? 0 : (this.#ids[this.#count - 1] as number);
  }

  /** Units that it is about, in ascending order. */
  addUnit(id: number): void {
    this.#ids[this.#count++] = id;
  }

  /** A frame of any unit, in the order of the log. */
  found(id: number, segment: number, position: number): void {
    const k = this.#indexOf(id);
    if (this.#ids[k] === id) this.#places[k] = placeOf(segment, position);
  }

  isAt(id: number, segment: number, position: number): boolean {
    const k = this.#indexOf(id);
    return this.#ids[k] === id && this.#places[k] === placeOf(segment, position);
  }

  #indexOf(id: number): number {
    let from = 0;
    let to = this.#count - 1;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if ((this.#ids[middle] as number) < id) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}

/** The first and the last unit that each segment has a frame of: it is read again only for what lies between them. */
export class UnitRanges {
  readonly #ranges = new Map<number, { first: number; last: number }>();

  add(id: number, segment: number): void {
    const range = this.#ranges.get(segment);
    if (range === undefined) {
      this.#ranges.set(segment, { first: id, last: id });
      return;
    }
    if (id < range.first) range.first = id;
    if (id > range.last) range.last = id;
  }

  mayHave(segment: number, first: number, last: number): boolean {
    const range = this.#ranges.get(segment);
    return range !== undefined && range.first <= last && range.last >= first;
  }
}

/** The units of a damaged store in the new one: written when a file first names them, with what is whole of them. */
import type { Extent } from "../store/records/change.ts";
import type { Store } from "../store/store.ts";
import type { SalvageSource } from "./source.ts";

/** Where a whole range of an old unit stands in the new one. */
interface Range {
  readonly offset: number;
  readonly length: number;
  readonly to: number;
}

interface Copied {
  /** 0: nothing of it is whole. */
  readonly id: number;
  readonly ranges: readonly Range[];
}

export class SalvagedUnits {
  readonly #source: SalvageSource;
  readonly #store: Store;
  readonly #copied = new Map<number, Copied>();

  constructor(source: SalvageSource, store: Store) {
    this.#source = source;
    this.#store = store;
  }

  /** Whether a file named the unit so far. */
  has(unit: number): boolean {
    return this.#copied.has(unit);
  }

  /** The extents in the new store, zeros for what is lost; `onLost` hears how many bytes that is. */
  extents(old: readonly Extent[], onLost: (bytes: number) => void): Extent[] {
    const found: Extent[] = [];
    for (const { unit, offset, length } of old) {
      if (unit === 0) {
        found.push({ unit, offset: 0, length });
        continue;
      }
      const { id, ranges } = this.#unit(unit);
      const end = offset + length;
      let at = offset;
      const lose = (to: number): void => {
        if (to <= at) return;
        found.push({ unit: 0, offset: 0, length: to - at });
        onLost(to - at);
        at = to;
      };
      for (const range of ranges) {
        const from = Math.max(range.offset, offset);
        const to = Math.min(range.offset + range.length, end);
        if (from >= to) continue;
        lose(from);
        found.push({ unit: id, offset: range.to + from - range.offset, length: to - from });
        at = to;
      }
      lose(end);
    }
    return found;
  }

  /** What is whole of a unit that no file names. */
  whole(unit: number): Extent[] {
    const { id, ranges } = this.#unit(unit);
    return ranges.map(({ to, length }) => ({ unit: id, offset: to, length }));
  }

  /** One that lost its last reference meanwhile is written again. */
  #unit(unit: number): Copied {
    const known = this.#copied.get(unit);
    if (known !== undefined && (known.id === 0 || this.#store.hasUnit(known.id) !== undefined)) {
      return known;
    }
    const chunks = this.#source.unit(unit) ?? [];
    const ranges: Range[] = [];
    let to = 0;
    for (const { offset, bytes } of chunks) {
      ranges.push({ offset, length: bytes.length, to });
      to += bytes.length;
    }
    const parts = chunks.map(({ bytes }) => bytes);
    const lengths = parts.map((bytes) => bytes.length);
    const copied = { id: to === 0 ? 0 : this.#store.writeUnit(parts, lengths), ranges };
    if (to > 0) this.#store.flush();
    this.#copied.set(unit, copied);
    return copied;
  }
}

/** Equal runs between the data of one WRITE and the file's content before it. */
import { commonPrefix, commonSuffix } from "./compare.ts";
import {
  KEY_DISTINCT_MIN,
  KEY_LENGTH,
  SEARCHED_MAX,
  SEARCHED_PER_BYTE_MAX,
  SHIFT_MATCH_LENGTH_MIN,
} from "./limits.ts";
import type { OldContent } from "./old.ts";

/** data[start, end) stands at file offset `offset + start - shift`: the bytes move up by `shift`. */
export interface Run {
  readonly start: number;
  readonly end: number;
  readonly shift: number;
}

export class Matching {
  readonly data: Buffer;
  /** Where the data goes. */
  readonly offset: number;
  readonly old: OldContent;
  readonly #blockLength: number;
  readonly #bytesSearchedMax: number;

  constructor(data: Buffer, offset: number, old: OldContent, blockLength: number) {
    this.data = data;
    this.offset = offset;
    this.old = old;
    this.#blockLength = blockLength;
    this.#bytesSearchedMax = SEARCHED_MAX + SEARCHED_PER_BYTE_MAX * data.length;
  }

  /** Whether the budget of this WRITE allows another search for a key, or another match to be tried. */
  maySearch(): boolean {
    const { bytesSearched, bytesCompared } = this.old.work;
    return bytesSearched + bytesCompared < this.#bytesSearchedMax;
  }

  /** File offset from which data[at] would come. */
  source(at: number, shift: number): number {
    return this.offset + at - shift;
  }

  /** The end of the run at this shift that starts at data[at], at most `limit`. */
  extendForward(at: number, shift: number, limit: number): number {
    let end = at;
    while (end < limit) {
      const source = this.source(end, shift);
      const window = this.old.from(source, Math.min(limit - end, this.#blockLength));
      if (window === undefined) break;
      const from = source - window.base;
      const max = Math.min(limit - end, window.bytes.length - from);
      const equal = commonPrefix(this.data, end, window.bytes, from, max);
      this.old.work.bytesCompared += equal;
      end += equal;
      if (equal < max) break;
    }
    return end;
  }

  /** The start of the run at this shift that ends before data[at], at least `limit`. */
  extendBackward(at: number, shift: number, limit: number): number {
    let start = at;
    while (start > limit) {
      const source = this.source(start, shift);
      const window = this.old.before(source, Math.min(start - limit, this.#blockLength));
      if (window === undefined) break;
      const to = source - window.base;
      const max = Math.min(start - limit, to);
      const equal = commonSuffix(this.data, start, window.bytes, to, max);
      this.old.work.bytesCompared += equal;
      start -= equal;
      if (equal < max) break;
    }
    return start;
  }

  /** The run through data[at] at this shift inside [low, high); empty when the byte there differs. */
  runAround(at: number, shift: number, low: number, high: number): Run {
    const end = this.extendForward(at, shift, high);
    return { start: this.extendBackward(at, shift, low), end, shift };
  }

  /** Whether the key at data[at] stands at this shift. */
  keyStands(at: number, shift: number): boolean {
    const source = this.source(at, shift);
    if (source < 0 || source + KEY_LENGTH > this.old.size || !this.maySearch()) return false;
    const window = this.old.peek(source, source + KEY_LENGTH);
    if (window === undefined) return false;
    return commonPrefix(this.data, at, window, 0, KEY_LENGTH) === KEY_LENGTH;
  }

  /** The key at data[at], undefined where it is too uniform to be looked for. */
  key(at: number): Buffer | undefined {
    let seen = 0;
    let distinct = 0;
    for (let i = at; i < at + KEY_LENGTH; i++) {
      const bit = 1 << (this.data[i]! & 31);
      if ((seen & bit) === 0) distinct++;
      seen |= bit;
    }
    return distinct < KEY_DISTINCT_MIN ? undefined : this.data.subarray(at, at + KEY_LENGTH);
  }
}

export function lengthOf(run: Run): number {
  return run.end - run.start;
}

/** Too long to be a header line that many messages have. */
export function isSure(run: Run): boolean {
  return lengthOf(run) >= SHIFT_MATCH_LENGTH_MIN;
}

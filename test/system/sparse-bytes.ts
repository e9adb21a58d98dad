/** Bytes of a simulated file: zeros take no memory, and a copy shares what neither of the two has changed since. */

const PAGE = 8 * 1024;
const ZEROS = Buffer.alloc(PAGE);

/** Bytes, and behind them zeros up to a length. */
export interface Run {
  readonly bytes: Buffer;
  readonly length: number;
}

export class SparseBytes {
  readonly #pages = new Map<number, Buffer>();
  /** Pages that no copy shares. */
  readonly #own = new Set<number>();
  length = 0;

  read(target: Buffer, start: number, length: number, position: number): number {
    const end = Math.min(position + length, this.length);
    for (let at = position; at < end;) {
      const [page, offset] = [Math.floor(at / PAGE), at % PAGE];
      const count = Math.min(PAGE - offset, end - at);
      const from = this.#pages.get(page) ?? ZEROS;
      from.copy(target, start + at - position, offset, offset + count);
      at += count;
    }
    return Math.max(0, end - position);
  }

  write(at: number, { bytes, length }: Run): void {
    for (let done = 0; done < bytes.length;) {
      const [page, offset] = [Math.floor((at + done) / PAGE), (at + done) % PAGE];
      const count = Math.min(PAGE - offset, bytes.length - done);
      bytes.copy(this.#change(page), offset, done, done + count);
      done += count;
    }
    this.#clear(at + bytes.length, at + length);
    this.length = Math.max(this.length, at + length);
  }

  truncate(length: number): void {
    this.#clear(length, this.length);
    this.length = length;
  }

  copy(): SparseBytes {
    const copy = new SparseBytes();
    for (const [page, bytes] of this.#pages) copy.#pages.set(page, bytes);
    copy.length = this.length;
    this.#own.clear();
    return copy;
  }

  #clear(from: number, to: number): void {
    for (let at = from; at < to;) {
      const [page, offset] = [Math.floor(at / PAGE), at % PAGE];
      const count = Math.min(PAGE - offset, to - at);
      if (count === PAGE) this.#pages.delete(page);
      else if (this.#pages.has(page)) this.#change(page).fill(0, offset, offset + count);
      at += count;
    }
  }

  #change(page: number): Buffer {
    const known = this.#pages.get(page);
    if (known !== undefined && this.#own.has(page)) return known;
    const own = known === undefined ? Buffer.alloc(PAGE) : Buffer.from(known);
    this.#pages.set(page, own);
    this.#own.add(page);
    return own;
  }
}

/** Buffers as one run, whose zeros at the end are not copied. */
export function runOf(buffers: readonly Buffer[], lengthMax = Infinity): Run {
  let length = 0;
  for (const buffer of buffers) length += buffer.length;
  const last = buffers.at(-1);
  const zeros = last !== undefined && last.length >= PAGE && isZero(last) ? last.length : 0;
  length = Math.min(length, lengthMax);
  const bytes = Buffer.concat(zeros === 0 ? buffers : buffers.slice(0, -1));
  return { bytes: bytes.subarray(0, length), length };
}

/** A part of a run. */
export function part({ bytes }: Run, from: number, to: number): Run {
  return { bytes: bytes.subarray(from, to), length: to - from };
}

function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += PAGE) {
    const some = bytes.subarray(at, at + PAGE);
    if (!some.equals(ZEROS.subarray(0, some.length))) return false;
  }
  return true;
}

/**
 * The file's bytes before a WRITE, as far as matching has looked at them: a few windows, each read once,
 * within a budget. Counts the work, so that its bounds can be tested without a clock.
 *
 * An overlay stands for bytes that earlier short WRITEs have just replaced: a mover's source may be
 * among them, and what was written there would only match itself.
 */
import { assert } from "../../base/assert.ts";

export type ReadOld = (offset: number, length: number) => Buffer;

/** What matching one WRITE took. */
export interface MatchWork {
  /** Calls of readOld, and the bytes they returned. */
  reads: number;
  bytesRead: number;
  /** Bytes passed by searches for a key. */
  bytesSearched: number;
  /** Bytes found equal while a match was extended, used or not. */
  bytesCompared: number;
}

export interface Window {
  /** File offset of the first byte. */
  readonly base: number;
  readonly bytes: Buffer;
}

export interface Overlay {
  readonly offset: number;
  readonly bytes: Buffer;
}

const WINDOWS_MAX = 6;

export class OldContent {
  readonly size: number;
  readonly work: MatchWork;
  readonly #readOld: ReadOld;
  readonly #bytesReadMax: number;
  readonly #overlay: Overlay | undefined;
  readonly #windows: Window[] = [];

  constructor(
    readOld: ReadOld,
    size: number,
    bytesReadMax: number,
    work: MatchWork,
    overlay?: Overlay,
  ) {
    this.#readOld = readOld;
    this.size = size;
    this.#bytesReadMax = bytesReadMax;
    this.work = work;
    this.#overlay = overlay;
  }

  /** A window that has the byte at `offset`, reading up to `length` from there; undefined: outside, or over budget. */
  from(offset: number, length: number): Window | undefined {
    if (offset < 0 || offset >= this.size) return undefined;
    const window = this.#find(offset, offset + 1);
    if (window !== undefined) return window;
    return this.#read(offset, Math.min(offset + length, this.size));
  }

  /** A window that has the byte before `offset`, reading up to `length` before it. */
  before(offset: number, length: number): Window | undefined {
    if (offset <= 0 || offset > this.size) return undefined;
    const window = this.#find(offset - 1, offset);
    if (window !== undefined) return window;
    return this.#read(Math.max(0, offset - length), offset);
  }

  /** The bytes [start, end) of the file, or what of them is inside it. */
  range(start: number, end: number): Window | undefined {
    start = Math.max(0, start);
    end = Math.min(end, this.size);
    if (start >= end) return undefined;
    const window = this.#find(start, end);
    if (window === undefined) return this.#read(start, end);
    return { base: start, bytes: window.bytes.subarray(start - window.base, end - window.base) };
  }

  /** The same for a few bytes: they are not kept, so that they do not push out a window that will be needed. */
  peek(start: number, end: number): Buffer | undefined {
    const window = this.#find(start, end);
    if (window !== undefined) return window.bytes.subarray(start - window.base, end - window.base);
    return this.#bytes(start, end);
  }

  /** The window that has all of [start, end); the one used last comes first. */
  #find(start: number, end: number): Window | undefined {
    for (let i = 0; i < this.#windows.length; i++) {
      const window = this.#windows[i]!;
      if (start < window.base || end > window.base + window.bytes.length) continue;
      if (i > 0) {
        this.#windows.splice(i, 1);
        this.#windows.unshift(window);
      }
      return window;
    }
    return undefined;
  }

  #read(start: number, end: number): Window | undefined {
    const bytes = this.#bytes(start, end);
    if (bytes === undefined) return undefined;
    const window = { base: start, bytes };
    if (this.#windows.length === WINDOWS_MAX) this.#windows.pop();
    this.#windows.unshift(window);
    return window;
  }

  #bytes(start: number, end: number): Buffer | undefined {
    if (this.work.bytesRead + (end - start) > this.#bytesReadMax) return undefined;
    const bytes = this.#covered(start, this.#readOld(start, end - start));
    this.work.reads++;
    this.work.bytesRead += bytes.length;
    assert(bytes.length === end - start, "the old content is read inside its size");
    return bytes;
  }

  #covered(start: number, bytes: Buffer): Buffer {
    const overlay = this.#overlay;
    if (overlay === undefined) return bytes;
    const from = Math.max(start, overlay.offset);
    const to = Math.min(start + bytes.length, overlay.offset + overlay.bytes.length);
    if (from >= to) return bytes;
    const copy = Buffer.from(bytes);
    overlay.bytes.copy(copy, from - start, from - overlay.offset, to - overlay.offset);
    return copy;
  }
}

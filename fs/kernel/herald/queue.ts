/**
 * Which file's watchers are told of a change next. Pure: whoever calls says what time it is.
 *
 *     changed()                     take()             INTERVAL_MS later, tick()
 *     ─────────► waiting ─► head ─────────► recent ─┬─────────────────────────► gone
 *                   ▲                               └─ if it changed again ──┐
 *                   └────────────────────────────────────────────────────────┘
 *
 * Invariants:
 * - a file is waiting, the head or recent, or none of it; one that is the head or recent may have changed again;
 * - after the last change of a file comes its turn, unless FILES_MAX others wait: files that no program
 *   has opened since the kernel knows them are given up first.
 * Files that have been opened come first, but for one turn of 8: a mail program that waits for mail has opened its
 * mailbox. While the server is busy the others get few turns.
 */
import { assert } from "../../../base/assert.ts";

/** One event for each file in this time. */
export const INTERVAL_MS = 1000;
export const TICK_MS = 50;
/** Files in one tick: 2,000 in a second. */
export const FILES_PER_TICK = 100;
/** While the server is busy: 1,000 in a second. */
export const FILES_PER_BUSY_TICK = 50;
/** Of these, files that were not opened: 200 in a second. */
export const OTHERS_PER_BUSY_TICK = 10;
/** Files that wait, of either kind. A number in a Set takes about 40 bytes. */
export const FILES_MAX = 131_072;

/** Every so many turns the others come first. */
const OTHERS_TURN = 8;

export class EventQueue {
  readonly #wasOpened: (ino: number) => boolean;
  readonly #opened = new Set<number>();
  readonly #others = new Set<number>();
  /** When each was told, oldest first. */
  readonly #recent = new Map<number, number>();
  readonly #again = new Set<number>();
  #head = 0;
  #left = FILES_PER_TICK;
  /** Of these, for files that were not opened. */
  #leftForOthers = FILES_PER_TICK;
  #turns = 0;

  /** `wasOpened`: since the kernel knows the file. */
  constructor(wasOpened: (ino: number) => boolean) {
    this.#wasOpened = wasOpened;
  }

  /** Nothing waits, and nothing has to be remembered. */
  get isIdle(): boolean {
    return this.#head === 0 && this.#opened.size + this.#others.size + this.#recent.size === 0;
  }

  /** Whether head() has a file. */
  get isReady(): boolean {
    if (this.#left === 0) return false;
    return this.#head !== 0 || this.#opened.size > 0 || this.#othersTurn;
  }

  get #othersTurn(): boolean {
    return this.#leftForOthers > 0 && this.#others.size > 0;
  }

  changed(ino: number): void {
    if (ino === this.#head || this.#recent.has(ino)) this.#again.add(ino);
    else this.#wait(ino);
  }

  /** The same file until it is taken or dropped; 0 when none may be told of now. */
  head(): number {
    if (this.#left === 0) return 0;
    if (this.#head === 0) this.#head = this.#first();
    return this.#head;
  }

  /** The head's watchers are being told. */
  take(nowMs: number): void {
    assert(this.#head !== 0, "only what is there can be taken");
    this.#recent.set(this.#head, nowMs);
    this.#head = 0;
    this.#left -= 1;
  }

  /** Nobody can be told of the head. */
  drop(): void {
    this.#again.delete(this.#head);
    this.#head = 0;
  }

  /** Every TICK_MS. */
  tick(nowMs: number, isBusy: boolean): void {
    this.#left = isBusy ? FILES_PER_BUSY_TICK : FILES_PER_TICK;
    this.#leftForOthers = isBusy ? OTHERS_PER_BUSY_TICK : FILES_PER_TICK;
    for (const [ino, toldMs] of this.#recent) {
      if (toldMs + INTERVAL_MS > nowMs) break;
      this.#recent.delete(ino);
      if (this.#again.delete(ino)) this.#wait(ino);
    }
  }

  /** Asserts the invariants of the head comment. */
  check(): void {
    for (const ino of this.#opened) assert(!this.#others.has(ino), "a file waits once");
    for (const ino of [this.#head, ...this.#recent.keys()]) {
      assert(!this.#opened.has(ino) && !this.#others.has(ino), "whose turn it is waits no more");
    }
    assert(!this.#recent.has(this.#head), "the head has not been told of just now");
    for (const ino of this.#again) {
      assert(ino === this.#head || this.#recent.has(ino), "what changed again comes again");
    }
    assert(this.#opened.size <= FILES_MAX && this.#others.size <= FILES_MAX, "few files wait");
  }

  #wait(ino: number): void {
    if (this.#opened.has(ino) || this.#others.has(ino)) return;
    const files = this.#wasOpened(ino) ? this.#opened : this.#others;
    if (files.size < FILES_MAX) files.add(ino);
  }

  #first(): number {
    this.#turns += 1;
    const isForOthers =
      this.#othersTurn && (this.#opened.size === 0 || this.#turns % OTHERS_TURN === 0);
    if (isForOthers) this.#leftForOthers -= 1;
    const files = isForOthers ? this.#others : this.#opened;
    for (const ino of files) {
      files.delete(ino);
      return ino;
    }
    return 0;
  }
}

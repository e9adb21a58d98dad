/** A clock that a simulation moves, and what is to be done at which time. Nothing of it waits. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Time } from "../../../fs/attributes.ts";
import type { Every } from "../../../fs/timers.ts";

type Work = () => void | Promise<void>;

interface Entry {
  readonly atMs: number;
  /** Of two for the same time the earlier one comes first. */
  readonly order: number;
  readonly work: Work;
}

export class SimulatedClock {
  #nowMs: number;
  #order = 0;
  /** A heap: no entry is later than those at twice its place and behind it. */
  readonly #entries: Entry[] = [];

  constructor(startMs: number) {
    this.#nowMs = startMs;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  readonly now = (): Time => {
    const sec = Math.floor(this.#nowMs / 1000);
    return { sec, nsec: (this.#nowMs - sec * 1000) * 1_000_000 };
  };

  readonly every: Every = (periodMs, work) => {
    let isStopped = false;
    const again = (): void => {
      if (isStopped) return;
      work();
      this.after(periodMs, again);
    };
    this.after(periodMs, again);
    return () => {
      isStopped = true;
    };
  };

  after(delayMs: number, work: Work): void {
    this.#push({ atMs: this.#nowMs + delayMs, order: this.#order++, work });
  }

  /** One after the other; between two of them what goes on in the background has a turn. */
  async runTo(endMs: number): Promise<void> {
    for (;;) {
      const first = this.#entries[0];
      if (first === undefined || first.atMs > endMs) break;
      this.#pop();
      this.#nowMs = first.atMs;
      await first.work();
      await nextTurn();
    }
    this.#nowMs = endMs;
  }

  #push(entry: Entry): void {
    const entries = this.#entries;
    let at = entries.length;
    for (; at > 0; at = (at - 1) >> 1) {
      const above = entries[(at - 1) >> 1] as Entry;
      if (!isBefore(entry, above)) break;
      entries[at] = above;
    }
    entries[at] = entry;
  }

  #pop(): void {
    const entries = this.#entries;
    const last = entries.pop() as Entry;
    if (entries.length === 0) return;
    let at = 0;
    for (;;) {
      const left = entries[2 * at + 1];
      const right = entries[2 * at + 2];
      if (left === undefined) break;
      const isRight = right !== undefined && isBefore(right, left);
      const least = isRight ? right : left;
      if (!isBefore(least, last)) break;
      entries[at] = least;
      at = 2 * at + (isRight ? 2 : 1);
    }
    entries[at] = last;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

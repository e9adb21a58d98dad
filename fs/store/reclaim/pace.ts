/**
 * How fast cleaning may go: a credit in bytes that grows with what others write and with the time in which
 * they write nothing, and more of both the more there is to do. Pure: the clock comes from outside.
 */

/** Bytes of work for each byte that others write, when there is little and when there is much to do. */
const PER_WRITTEN_MIN = 1.5;
const PER_WRITTEN_MAX = 12;
/** Bytes for each millisecond in which others wrote nothing, and in any millisecond. */
const PER_IDLE_MS = 32 * 1024;
const PER_MS = 1024;
/** What is not used is lost. */
const CREDIT_MAX = 2 * 1024 * 1024;

export class Pace {
  #credit = 0;
  #writtenByOthers: number;
  #nowMs: number;

  constructor(writtenByOthers: number, nowMs: number) {
    this.#writtenByOthers = writtenByOthers;
    this.#nowMs = nowMs;
  }

  /** Whether a step may be made now. `urgency`: space.ts. */
  allows(writtenByOthers: number, nowMs: number, urgency: number): boolean {
    const written = writtenByOthers - this.#writtenByOthers;
    const ms = nowMs - this.#nowMs;
    this.#writtenByOthers = writtenByOthers;
    this.#nowMs = nowMs;
    const part = Math.min(1, Math.max(0, urgency));
    const perWritten = PER_WRITTEN_MIN + (PER_WRITTEN_MAX - PER_WRITTEN_MIN) * part;
    const earned = written * perWritten + ms * (written === 0 ? PER_IDLE_MS : PER_MS);
    this.#credit = Math.min(CREDIT_MAX, this.#credit + earned);
    return urgency >= 1 || this.#credit > 0;
  }

  spend(bytes: number): void {
    this.#credit -= bytes;
  }
}

/**
 * While others write, they have so many times the time of a step before the next one. Cleaning has most of the time
 * before the bound is reached: who writes without a break would else meet it there.
 */
const OTHERS_SHARE_MAX = 12;
const OTHERS_SHARE_MIN = 0.5;
const URGENCY_FULL = 0.75;

export function othersShare(urgency: number): number {
  const part = Math.min(1, Math.max(0, urgency / URGENCY_FULL));
  return OTHERS_SHARE_MAX - (OTHERS_SHARE_MAX - OTHERS_SHARE_MIN) * part;
}

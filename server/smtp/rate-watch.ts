/**
 * Whether bytes come too slowly: looked at over a moving window, so that nobody buys an hour of silence with a burst.
 * Pure: time comes from outside.
 */

/** A client is slow for so long before it is ended, and may be silent for twice that. */
export const WINDOW_MS = 30_000;

export class RateWatch {
  #since: number;
  #bytes = 0;

  constructor(now: number) {
    this.#since = now;
  }

  /** `bytes`: all so far. */
  isTooSlow(bytes: number, now: number, bytesPerSecondMin: number): boolean {
    const passed = now - this.#since;
    if (passed < WINDOW_MS) return false;
    const isSlow = bytes - this.#bytes < (passed / 1000) * bytesPerSecondMin;
    this.restart(bytes, now);
    return isSlow;
  }

  /** What was before is forgiven. */
  restart(bytes: number, now: number): void {
    this.#bytes = bytes;
    this.#since = now;
  }
}

/** How long to wait before a process that ended is started again. Pure. */

export const DELAY_MS_MIN = 100;
export const DELAY_MS_MAX = 10_000;
/** One that lived so long ended for a new reason. */
export const LIFE_MS_MIN = 30_000;

export class BackOff {
  #delayMs = DELAY_MS_MIN;

  /** The wait after a life of `livedMs`: doubled each time. */
  delayAfter(livedMs: number): number {
    if (livedMs >= LIFE_MS_MIN) this.#delayMs = DELAY_MS_MIN;
    const delayMs = this.#delayMs;
    this.#delayMs = Math.min(delayMs * 2, DELAY_MS_MAX);
    return delayMs;
  }
}

/** How long to wait before a process that ended is started again. Pure. */

export const DELAY_MS_MIN = 100;
export const DELAY_MS_MAX = 10_000;
/** One that lived so long ended for a new reason. */
export const LIFE_MS_MIN = 30_000;

export interface BackOffOptions {
  readonly delayMsMin?: number;
  readonly lifeMsMin?: number;
}

export class BackOff {
  readonly #delayMsMin: number;
  readonly #lifeMsMin: number;
  #delayMs: number;

  constructor({ delayMsMin = DELAY_MS_MIN, lifeMsMin = LIFE_MS_MIN }: BackOffOptions = {}) {
    this.#delayMsMin = delayMsMin;
    this.#lifeMsMin = lifeMsMin;
    this.#delayMs = delayMsMin;
  }

  /** The wait after a life of `livedMs`: doubled each time. */
  delayAfter(livedMs: number): number {
    if (livedMs >= this.#lifeMsMin) this.#delayMs = this.#delayMsMin;
    const delayMs = this.#delayMs;
    this.#delayMs = Math.min(delayMs * 2, DELAY_MS_MAX);
    return delayMs;
  }
}

/**
 * Whether cleaning makes the log shorter. There are records that are current and that the bound does not count, as that a file
 * which still exists had a name before: a log with many of them is over the bound however often they are written
 * again. Pure.
 */
export class Gain {
  readonly #gainMin: number;
  #logBytes: number;
  #writtenBytes = 0;

  /** `gainMin`: the log is shorter when it is so much shorter (bytes). */
  constructor(logBytes: number, gainMin: number) {
    this.#logBytes = logBytes;
    this.#gainMin = gainMin;
  }

  /**
   * Behind each batch: whether as much as the whole log was written again since the log last became shorter. `logBytes` is
   * without what others wrote meanwhile, `writtenBytes` what cleaning wrote since it began.
   */
  isVain(logBytes: number, writtenBytes: number): boolean {
    if (logBytes <= this.#logBytes - this.#gainMin) {
      this.#logBytes = logBytes;
      this.#writtenBytes = writtenBytes;
      return false;
    }
    return writtenBytes - this.#writtenBytes > Math.max(logBytes, this.#logBytes);
  }
}

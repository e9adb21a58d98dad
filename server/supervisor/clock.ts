/** Time as the supervisor needs it: tests bring their own. */

export interface Clock {
  /** Milliseconds since anywhere; never goes back. */
  now(): number;
  /** Returns what takes it back. */
  after(delayMs: number, then: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after: (delayMs, then) => {
    const timer = setTimeout(then, delayMs);
    return () => clearTimeout(timer);
  },
};

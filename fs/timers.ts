/** Work that comes again and again. Tests that live through days in minutes bring a clock of their own. */

/** Returns what ends it. */
export type Every = (periodMs: number, work: () => void) => () => void;

/** By the system's clock; keeps no process alive. */
export const systemEvery: Every = (periodMs, work) => {
  const timer = setInterval(work, periodMs);
  timer.unref();
  return () => clearInterval(timer);
};

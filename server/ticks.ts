/** How often time passes for the sessions of a process: limits are kept to about this. */
export const TICK_MS = 250;
/** How often counters go up, to the front or the supervisor. */
export const COUNTERS_MS = 1_000;

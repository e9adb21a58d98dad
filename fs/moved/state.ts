/**
 * What is remembered of the WRITEs to one file, in memory only. It says where to look first and how
 * much to spend; every match is checked against the bytes, so a state that is lost, old or wrong
 * costs space at most.
 */
import {
  FAILURES_FREE,
  FAILURES_MOVING,
  QUIET_LENGTH,
  QUIET_LENGTH_MAX,
  SEARCHED_PER_QUIET_BYTE,
  SHIFTS_MAX,
} from "./limits.ts";
import type { Side } from "./near.ts";

/** One end of the last write. */
export interface Edge {
  /** Shift of the match nearest to this end; undefined: none since the writes began to adjoin. */
  readonly shift: number | undefined;
  /** New bytes between that match and this end; 0: the match goes on. */
  readonly gap: number;
  /** Length of that match, over all writes that went on with it. */
  readonly length: number;
  /** The nearest match that is too long to be a header line that many messages have; it can be the same. */
  readonly trusted: Side | undefined;
  /** `gap` when short WRITEs last looked for a match. */
  readonly lookedAt: number;
  /** How far the far search went in vain (far.ts). */
  readonly searchedTo: number | undefined;
  /** What stood where the last new bytes at this end are, at most CONTEXT_LENGTH_MAX. */
  readonly replaced: Buffer | undefined;
}

export interface MoverState {
  /** The last write: [start, end) of the file. */
  readonly start: number;
  readonly end: number;
  readonly low: Edge;
  readonly high: Edge;
  /** Shifts of earlier matches, the latest first. */
  readonly shifts: readonly number[];
  /** By how much the size last changed. */
  readonly sizeChange: number;
  /** The last write did nothing but append, and its bytes are counted in sizeChange. */
  readonly appended: boolean;
  /** Far searches that failed since one succeeded. */
  readonly failures: number;
  /** Bytes still to be written before the next far search. */
  readonly quietLength: number;
}

export const NO_EDGE: Edge = {
  shift: undefined,
  gap: 0,
  length: 0,
  trusted: undefined,
  lookedAt: 0,
  searchedTo: undefined,
  replaced: undefined,
};

const NOTHING: MoverState = {
  start: -1,
  end: -1,
  low: NO_EDGE,
  high: NO_EDGE,
  shifts: [],
  sizeChange: 0,
  appended: false,
  failures: 0,
  quietLength: 0,
};

export function orNothing(state: MoverState | undefined): MoverState {
  return state ?? NOTHING;
}

/** The file's size was set (ftruncate, fallocate): a mover often extends first and then moves by as much. */
export function noteResize(
  state: MoverState | undefined,
  sizeBefore: number,
  sizeAfter: number,
): MoverState | undefined {
  if (sizeBefore === sizeAfter) return state;
  return { ...orNothing(state), sizeChange: sizeAfter - sizeBefore, appended: false };
}

/** A pure append: nothing was searched. */
export function afterAppend(
  state: MoverState | undefined,
  offset: number,
  length: number,
): MoverState {
  const last = orNothing(state);
  const before = last.appended && last.end === offset ? last.sizeChange : 0;
  return {
    ...last,
    start: offset,
    end: offset + length,
    low: NO_EDGE,
    high: NO_EDGE,
    sizeChange: before + length,
    appended: true,
  };
}

/** Whether far searches are still held back in a WRITE of this length. */
export function isQuiet(state: MoverState, length: number): boolean {
  return state.quietLength > length;
}

/** What a WRITE tells about far searches. */
export interface Outcome {
  readonly length: number;
  readonly far: "found" | "failed" | undefined;
  readonly bytesSearched: number;
  /** It has a match so long that a mover must have made it. */
  readonly moved: boolean;
  /** It adjoins a write that moved bytes. */
  readonly moving: boolean;
}

/**
 * Back-off of far searches. A program that overwrites with fresh bytes soon pays for hardly any; behind
 * a mover the searches go on for longer, at a rate bound to what it writes.
 */
export function backOff(
  state: MoverState,
  { length, far, bytesSearched, moved, moving }: Outcome,
): { failures: number; quietLength: number } {
  if (moved) return { failures: 0, quietLength: 0 };
  const quietLength = Math.max(0, state.quietLength - length);
  if (far !== "failed") return { failures: state.failures, quietLength };
  const failures = state.failures + 1;
  if (failures < FAILURES_FREE) return { failures, quietLength };
  if (moving && failures < FAILURES_MOVING) {
    return { failures, quietLength: Math.ceil(bytesSearched / SEARCHED_PER_QUIET_BYTE) };
  }
  const doublings = Math.min(failures - (moving ? FAILURES_MOVING : FAILURES_FREE), 32);
  return { failures, quietLength: Math.min(QUIET_LENGTH * 2 ** doublings, QUIET_LENGTH_MAX) };
}

export function withShifts(
  shifts: readonly number[],
  latest: readonly number[],
): readonly number[] {
  if (latest.length === 0) return shifts;
  return [...new Set([...latest, ...shifts])].slice(0, SHIFTS_MAX);
}

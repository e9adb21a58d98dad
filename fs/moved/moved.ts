/**
 * Moved bytes keep their units: which parts of a WRITE already stand in the file. A mail program
 * expunges or edits by rewriting the rest of the mailbox at a shift, with edited headers in
 * between, and the file system sees only the WRITEs.
 *
 * - The pieces, applied to the content before the write, give exactly the data, whatever the state says.
 * - The work for one WRITE is bounded (limits.ts) and counted; a miss costs space only.
 * - A write that goes on where the last one ended, at the same shift, reads as many old bytes as it
 *   writes and searches nothing; that is tried first. Then the bytes in place, then the searches.
 *
 * Not here: reading and splicing extents, and when the state is forgotten (fs/files).
 */
import { searchWithContext } from "./context.ts";
import type { Direction } from "./far.ts";
import {
  CONTEXT_LENGTH_MAX,
  CONTEXT_STEP,
  FAR_LENGTH_MAX,
  IN_PLACE_EDGE_LENGTH_MIN,
  MATCH_LENGTH_MIN,
  MESSAGE_MATCH_LENGTH_GOOD,
  READ_BLOCK_LENGTH,
  READ_BLOCK_LENGTH_QUIET,
  READ_PER_BYTE_MAX,
  READ_SMALL_MAX,
  SHIFT_MATCH_LENGTH_MIN,
  SHORT_WRITE_LENGTH,
} from "./limits.ts";
import { lengthOf, Matching, type Run } from "./matching.ts";
import type { Side } from "./near.ts";
import { type MatchWork, OldContent, type ReadOld } from "./old.ts";
import { afterAppend, isQuiet, type MoverState, orNothing } from "./state.ts";
import { searchLeap } from "./leap.ts";
import {
  isMoving,
  isRunning,
  type Neighbours,
  neighboursOf,
  sideOfEdge,
  trustedSide,
} from "./neighbours.ts";
import { type Found, nextState } from "./next-state.ts";
import { type SearchPlan, type SearchResult, searchStretch } from "./stretches.ts";

export type { MatchWork, ReadOld } from "./old.ts";
export { type MoverState, noteResize } from "./state.ts";

/** old: bytes of the file before the write, at this file offset. new: bytes of the data, at this offset in it. */
export interface Piece {
  readonly kind: "old" | "new";
  readonly offset: number;
  readonly length: number;
}

export interface WriteToMatch {
  readonly offset: number;
  readonly data: Buffer;
  /** Of the file before the write. */
  readonly size: number;
  /** Bytes of the file before the write, inside its size; holes read as zeros. The buffer is not changed or kept. */
  readonly readOld: ReadOld;
  /** Earlier writes, where they do not show in the old content: bytes at the same offsets, or none. */
  readonly readWritten?: ReadOld;
  readonly state: MoverState | undefined;
}

export interface MatchedWrite {
  /** They cover the data in order; neighbours do not merge. */
  readonly pieces: readonly Piece[];
  readonly state: MoverState | undefined;
  readonly work: MatchWork;
}

export function matchWrite(write: WriteToMatch): MatchedWrite {
  const { offset, data, size } = write;
  const work: MatchWork = { reads: 0, bytesRead: 0, bytesSearched: 0, bytesCompared: 0 };
  if (data.length === 0) return { pieces: [], state: write.state, work };
  const last = orNothing(write.state);
  const neighbours = neighboursOf(last, offset, data.length);
  if (offset === size && !isRunning(neighbours.below)) {
    const state = afterAppend(write.state, offset, data.length);
    return { pieces: [{ kind: "new", offset: 0, length: data.length }], state, work };
  }

  const bytesReadMax = FAR_LENGTH_MAX + READ_SMALL_MAX + READ_PER_BYTE_MAX * data.length;
  const old = new OldContent(write.readOld, size, bytesReadMax, work);
  const block = isQuiet(last, data.length) ? READ_BLOCK_LENGTH_QUIET : READ_BLOCK_LENGTH;
  const matching = new Matching(data, offset, old, block);
  const found = findRuns(matching, write, last, neighbours);
  found.runs.sort((a, b) => a.start - b.start);
  return {
    pieces: piecesOf(matching, found.runs),
    state: nextState(matching, last, neighbours, found),
    work,
  };
}

function findRuns(
  matching: Matching,
  write: WriteToMatch,
  last: MoverState,
  neighbours: Neighbours,
): Found {
  const { data } = matching;
  const { below, above } = neighbours;
  const runs = edgeRuns(matching, neighbours);
  const first = runs[0];
  const low = first !== undefined && first.start === 0 ? first.end : 0;
  const end = runs.at(-1);
  const high = end !== undefined && end.end === data.length ? end.start : data.length;
  if (low >= high) return { runs, far: undefined, searchedTo: undefined, looked: false };

  const direction: Direction = above !== undefined && below === undefined ? "down" : "up";
  const plan = planOf(matching, last, direction, (below ?? above)?.searchedTo);
  if (mayLeap(matching, neighbours, runs)) {
    const { whole, run, searchedTo } = searchLeap(matching, neighbours, plan);
    if (run !== undefined) {
      return { ...searchStretch(matching, whole, plan, run), looked: false };
    }
    if (searchedTo !== undefined) return { runs, far: "failed", searchedTo, looked: false };
  }
  const broken = below ?? above;
  if (
    broken !== undefined &&
    runs.length === 0 &&
    data.length < SHORT_WRITE_LENGTH &&
    broken.gap > 0
  ) {
    const newLength = broken.gap + data.length;
    const known = sideOfEdge(broken) ?? trustedSide(broken);
    // Where nothing is known, a look costs a far search, and the new bytes may be the mover's first edit.
    const due =
      known === undefined
        ? newLength >= Math.max(CONTEXT_LENGTH_MAX, 2 * broken.lookedAt)
        : newLength - broken.lookedAt >= CONTEXT_STEP;
    if (!due) return { runs, far: undefined, searchedTo: broken.searchedTo, looked: false };
    const side = below === undefined ? "above" : "below";
    const search = (match: Side | undefined, planned: SearchPlan): SearchResult =>
      searchWithContext(matching, write, broken, match, side, planned);
    return {
      ...twice(sideOfEdge(broken), trustedSide(broken), plan, search, {
        length: data.length,
        short: true,
      }),
      looked: true,
    };
  }

  const sideBelow = low > 0 ? sideOf(first) : sideOfEdge(below);
  const sideAbove = high < data.length ? sideOf(end) : sideOfEdge(above);
  if (sideBelow === undefined && sideAbove === undefined && data.length < MATCH_LENGTH_MIN) {
    return { runs, far: undefined, searchedTo: undefined, looked: false };
  }
  const search = (known: Side | undefined, planned: SearchPlan): SearchResult => {
    const lower = below === undefined ? sideBelow : known;
    const upper = below === undefined ? known : sideAbove;
    const sides = { below: lower, above: upper, sureBelow: lower, sureAbove: upper };
    return searchStretch(matching, { low, high, ...sides }, planned);
  };
  const own = below === undefined ? sideAbove : sideBelow;
  const trusted = runs.length === 0 ? trustedSide(broken) : undefined;
  const result = twice(own, trusted, plan, search, { length: data.length, short: false });
  return { ...result, runs: [...runs, ...result.runs], looked: false };
}

/** Whether it begins something, and is not mostly what stands in its place. */
function mayLeap(
  { data }: Matching,
  { adjoinsBelow, adjoinsAbove }: Neighbours,
  runs: readonly Run[],
): boolean {
  if (adjoinsBelow || adjoinsAbove || data.length < SHORT_WRITE_LENGTH) return false;
  let inPlace = 0;
  for (const run of runs) inPlace += lengthOf(run);
  return 2 * inPlace < data.length;
}

/** Of a match that shows that its side is right: other messages have whole parts of a header, too. */
function lengthMinOf(length: number): number {
  return Math.max(SHIFT_MATCH_LENGTH_MIN, Math.min(length / 2, MESSAGE_MATCH_LENGTH_GOOD));
}

/**
 * The match at the edge can be a common header line at a wrong place. When nothing follows it, the
 * search begins again at the last match that is sure.
 */
function twice(
  known: Side | undefined,
  trusted: Side | undefined,
  plan: SearchPlan,
  search: (known: Side | undefined, plan: SearchPlan) => SearchResult,
  { length, short }: { readonly length: number; readonly short: boolean },
): SearchResult {
  if (trusted === undefined || trusted.shift === known?.shift) return search(known, plan);
  if (known !== undefined) {
    const first = search(known, { ...plan, far: false });
    const lengthMin = short ? 1 : lengthMinOf(length);
    if (first.runs.some((run) => lengthOf(run) >= lengthMin)) return first;
  }
  return search(trusted, plan);
}

/** What goes on from the neighbouring write; if nothing does, what is the same in place. */
function edgeRuns(matching: Matching, neighbours: Neighbours): Run[] {
  const { data } = matching;
  const { below, above } = neighbours;
  const runs: Run[] = [];
  let low = 0;
  if (below?.shift !== undefined && below.gap === 0) {
    low = matching.extendForward(0, below.shift, data.length);
    if (low > 0) runs.push({ start: 0, end: low, shift: below.shift });
  }
  if (low < data.length && above?.shift !== undefined && above.gap === 0) {
    const high = matching.extendBackward(data.length, above.shift, low);
    if (high < data.length) runs.push({ start: high, end: data.length, shift: above.shift });
  }
  if (runs.length > 0 || isMoving(below) || isMoving(above)) return runs;

  // Beside bytes that are new or moved, a few equal ones in place are chance.
  const alone = below === undefined && above === undefined;
  const lengthMin = alone ? IN_PLACE_EDGE_LENGTH_MIN : MATCH_LENGTH_MIN;
  low = matching.extendForward(0, 0, data.length);
  if (low === data.length && (alone || low >= lengthMin)) return [{ start: 0, end: low, shift: 0 }];
  if (low >= lengthMin) runs.push({ start: 0, end: low, shift: 0 });
  const limit = runs.length > 0 ? low : 0;
  const high = matching.extendBackward(data.length, 0, limit);
  if (data.length - high >= lengthMin) runs.push({ start: high, end: data.length, shift: 0 });
  return runs;
}

function planOf(
  matching: Matching,
  last: MoverState,
  direction: Direction,
  searchedTo: number | undefined,
): SearchPlan {
  const growth = Math.max(0, matching.offset + matching.data.length - matching.old.size);
  const quiet = isQuiet(last, matching.data.length);
  const shifts = new Set<number>();
  if (!quiet) shifts.add(0);
  if (growth > 0) shifts.add(growth);
  if (last.sizeChange !== 0) shifts.add(last.sizeChange);
  if (!quiet) for (const shift of last.shifts) shifts.add(shift);
  return { shifts: [...shifts], far: !quiet, direction, searchedTo };
}

function sideOf(run: Run | undefined): Side | undefined {
  return run === undefined ? undefined : { shift: run.shift, gap: 0 };
}

function piecesOf(matching: Matching, runs: readonly Run[]): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  for (const run of runs) {
    if (run.start > at) pieces.push({ kind: "new", offset: at, length: run.start - at });
    const offset = matching.source(run.start, run.shift);
    const previous = pieces.at(-1);
    if (previous?.kind === "old" && previous.offset + previous.length === offset) {
      pieces[pieces.length - 1] = { ...previous, length: previous.length + lengthOf(run) };
    } else {
      pieces.push({ kind: "old", offset, length: lengthOf(run) });
    }
    at = run.end;
  }
  const length = matching.data.length;
  if (at < length) pieces.push({ kind: "new", offset: at, length: length - at });
  return pieces;
}

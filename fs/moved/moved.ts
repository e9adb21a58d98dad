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
import { replacedBytes, searchWithContext } from "./context.ts";
import type { Direction } from "./far.ts";
import {
  CONTEXT_STEP,
  FAR_LENGTH_MAX,
  GAP_LENGTH_MAX,
  IN_PLACE_EDGE_LENGTH_MIN,
  MATCH_LENGTH_MIN,
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
import {
  afterAppend,
  backOff,
  type Edge,
  type MoverState,
  NO_EDGE,
  orNothing,
  withShifts,
} from "./state.ts";
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
  const below = last.end === offset ? last.high : undefined;
  const above = last.start === offset + data.length ? last.low : undefined;
  if (offset === size && !isRunning(below)) {
    const state = afterAppend(write.state, offset, data.length);
    return { pieces: [{ kind: "new", offset: 0, length: data.length }], state, work };
  }

  const bytesReadMax = FAR_LENGTH_MAX + READ_SMALL_MAX + READ_PER_BYTE_MAX * data.length;
  const old = new OldContent(write.readOld, size, bytesReadMax, work);
  const block = last.quietLength > 0 ? READ_BLOCK_LENGTH_QUIET : READ_BLOCK_LENGTH;
  const matching = new Matching(data, offset, old, block);
  const neighbours: Neighbours = { below, above };
  const found = findRuns(matching, write.readOld, last, neighbours);
  found.runs.sort((a, b) => a.start - b.start);
  return {
    pieces: piecesOf(matching, found.runs),
    state: nextState(matching, last, neighbours, found),
    work,
  };
}

/** The ends of the last write where this one adjoins it. */
interface Neighbours {
  readonly below: Edge | undefined;
  readonly above: Edge | undefined;
}

interface Found extends SearchResult {
  /** A short WRITE was looked at with its context. */
  readonly looked: boolean;
}

/** A match ended at this edge, or so few bytes before it that it is still known where to look. */
function isRunning(edge: Edge | undefined): edge is Edge & { shift: number } {
  return edge?.shift !== undefined && edge.gap <= GAP_LENGTH_MAX;
}

function findRuns(
  matching: Matching,
  readOld: ReadOld,
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
  const broken = below ?? above;
  if (
    broken !== undefined &&
    runs.length === 0 &&
    data.length < SHORT_WRITE_LENGTH &&
    broken.gap > 0
  ) {
    const due = broken.gap + data.length - broken.lookedAt >= CONTEXT_STEP;
    if (!due) return { runs, far: undefined, searchedTo: broken.searchedTo, looked: false };
    const side = below === undefined ? "above" : "below";
    const usable = isRunning(broken) ? broken : { ...broken, shift: undefined };
    return { ...searchWithContext(matching, readOld, usable, side, plan), looked: true };
  }

  const sideBelow = low > 0 ? sideOf(first) : sideOfEdge(below);
  const sideAbove = high < data.length ? sideOf(end) : sideOfEdge(above);
  if (sideBelow === undefined && sideAbove === undefined && data.length < MATCH_LENGTH_MIN) {
    return { runs, far: undefined, searchedTo: undefined, looked: false };
  }
  const stretch = { low, high, below: sideBelow, above: sideAbove };
  const result = searchStretch(matching, stretch, plan);
  return { ...result, runs: [...runs, ...result.runs], looked: false };
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
  if (runs.length > 0) return runs;

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
  const quiet = last.quietLength > 0;
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

function sideOfEdge(edge: Edge | undefined): Side | undefined {
  return isRunning(edge) ? { shift: edge.shift, gap: edge.gap } : undefined;
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

function nextState(
  matching: Matching,
  last: MoverState,
  neighbours: Neighbours,
  found: Found,
): MoverState {
  const { data, offset, old } = matching;
  const { runs } = found;
  const end = offset + data.length;
  const growth = end - old.size;
  const moved = runs.filter((run) => run.shift !== 0 && isLong(run, data.length));
  const edge = (neighbours.below ?? neighbours.above)?.shift;
  const moving = edge !== undefined && edge !== 0;
  const back = backOff(last, data.length, found.far, moved.length > 0, moving);
  const sizeChange = growth > 0 ? growth : back.quietLength > 0 ? 0 : last.sizeChange;
  return {
    start: offset,
    end,
    low: nextEdge(matching, neighbours.above, runs[0], found, "low"),
    high: nextEdge(matching, neighbours.below, runs.at(-1), found, "high"),
    shifts: withShifts(
      last.shifts,
      moved.filter((run) => lengthOf(run) >= SHIFT_MATCH_LENGTH_MIN).map((run) => run.shift),
    ),
    sizeChange,
    appended: false,
    ...back,
  };
}

function isLong(run: Run, dataLength: number): boolean {
  return lengthOf(run) >= Math.min(SHIFT_MATCH_LENGTH_MIN, dataLength);
}

/** `neighbour`: the edge that this write adjoined on its other side, from which a gap goes on. */
function nextEdge(
  matching: Matching,
  neighbour: Edge | undefined,
  run: Run | undefined,
  found: Found,
  side: "low" | "high",
): Edge {
  const length = matching.data.length;
  const gapHere = run === undefined ? length : side === "low" ? run.start : length - run.end;
  const earlier = run === undefined ? (neighbour ?? NO_EDGE) : NO_EDGE;
  const gap = earlier.gap + gapHere;
  const short = length < SHORT_WRITE_LENGTH;
  return {
    shift: run === undefined ? earlier.shift : run.shift,
    gap,
    lookedAt: found.looked || !short ? gap : earlier.lookedAt,
    searchedTo: run === undefined ? (found.searchedTo ?? earlier.searchedTo) : undefined,
    replaced: short ? replacedBytes(matching, neighbour, gapHere, side) : undefined,
  };
}

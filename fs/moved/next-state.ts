/** What is remembered after a WRITE: where its matches ended, and what the searches came to. */
import { replacedBytes } from "./context.ts";
import { FAR_MATCH_LENGTH_SURE, SHIFT_MATCH_LENGTH_MIN, SHORT_WRITE_LENGTH } from "./limits.ts";
import { lengthOf, type Matching, type Run } from "./matching.ts";
import type { Side } from "./near.ts";
import type { Neighbours } from "./neighbours.ts";
import { backOff, type Edge, type MoverState, NO_EDGE, withShifts } from "./state.ts";
import type { SearchResult } from "./stretches.ts";

export interface Found extends SearchResult {
  /** A short WRITE was looked at with its context. */
  readonly looked: boolean;
}

export function nextState(
  matching: Matching,
  last: MoverState,
  neighbours: Neighbours,
  found: Found,
): MoverState {
  const { data, offset, old } = matching;
  const { runs } = found;
  const end = offset + data.length;
  const growth = end - old.size;
  const low = nextEdge(matching, neighbours.above, runs[0], found, "low");
  const high = nextEdge(matching, neighbours.below, runs.at(-1), found, "high");
  const moved = runs.filter((run) => run.shift !== 0 && lengthOf(run) >= SHIFT_MATCH_LENGTH_MIN);
  const edge = neighbours.below ?? neighbours.above;
  const back = backOff(last, {
    length: data.length,
    far: found.far,
    bytesSearched: old.work.bytesSearched,
    moved: isSure(low, runs[0]) || isSure(high, runs.at(-1)) || moved.some(isSureRun),
    moving: (edge?.trusted?.shift ?? 0) !== 0,
  });
  const sizeChange = growth > 0 ? growth : back.quietLength > 0 ? 0 : last.sizeChange;
  return {
    // What adjoins becomes one: a mover may go on at either end of it.
    start: neighbours.adjoinsBelow ? last.start : offset,
    end: neighbours.adjoinsAbove ? last.end : end,
    low: neighbours.adjoinsBelow ? last.low : low,
    high: neighbours.adjoinsAbove ? last.high : high,
    shifts: withShifts(
      last.shifts,
      moved.map((run) => run.shift),
    ),
    sizeChange,
    appended: false,
    ...back,
  };
}

function isSureRun(run: Run): boolean {
  return run.shift !== 0 && lengthOf(run) >= FAR_MATCH_LENGTH_SURE;
}

/** The same for a match that many WRITEs have made together. */
function isSure(edge: Edge, run: Run | undefined): boolean {
  return run !== undefined && run.shift !== 0 && edge.length >= FAR_MATCH_LENGTH_SURE;
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
  const goesOn =
    run !== undefined &&
    neighbour?.gap === 0 &&
    neighbour.shift === run.shift &&
    (side === "low" ? run.end === length : run.start === 0);
  const runLength =
    run === undefined ? earlier.length : lengthOf(run) + (goesOn ? neighbour.length : 0);
  const short = length < SHORT_WRITE_LENGTH;
  return {
    shift: run === undefined ? earlier.shift : run.shift,
    gap,
    length: runLength,
    trusted: nextTrusted(matching, neighbour, found.runs, side, runLength),
    lookedAt: found.looked || !short ? gap : earlier.lookedAt,
    searchedTo: run === undefined ? (found.searchedTo ?? earlier.searchedTo) : undefined,
    replaced: short ? replacedBytes(matching, neighbour, gapHere, side) : undefined,
  };
}

function nextTrusted(
  matching: Matching,
  neighbour: Edge | undefined,
  runs: readonly Run[],
  side: "low" | "high",
  nearestLength: number,
): Side | undefined {
  const length = matching.data.length;
  const gapTo = (run: Run): number => (side === "low" ? run.start : length - run.end);
  const nearest = side === "low" ? runs[0] : runs.at(-1);
  if (nearest !== undefined && nearestLength >= SHIFT_MATCH_LENGTH_MIN) {
    return { shift: nearest.shift, gap: gapTo(nearest) };
  }
  const isLongEnough = (run: Run): boolean => lengthOf(run) >= SHIFT_MATCH_LENGTH_MIN;
  const sure = side === "low" ? runs.find(isLongEnough) : runs.findLast(isLongEnough);
  if (sure !== undefined) return { shift: sure.shift, gap: gapTo(sure) };
  const earlier = neighbour?.trusted;
  return earlier === undefined ? undefined : { shift: earlier.shift, gap: earlier.gap + length };
}

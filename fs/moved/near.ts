/**
 * The search near the place where the content should go on: behind (or, for a mover that goes down from
 * the end, before) a match that ended at edited bytes. An edit inserts, removes or replaces, so the
 * shift after it differs by at most EDIT_LENGTH_MAX.
 */
import {
  EDGE_MATCH_LENGTH_MIN,
  EDIT_LENGTH_MAX,
  GAP_LENGTH_MAX,
  KEY_LENGTH,
  MATCH_LENGTH_MIN,
  OCCURRENCES_MAX,
  RESUME_DISTANCE_MAX,
} from "./limits.ts";
import { lengthOf, type Matching, type Run } from "./matching.ts";

/** The match that a stretch of data adjoins. */
export interface Side {
  readonly shift: number;
  /** New bytes between that match and the stretch, written by earlier WRITEs. */
  readonly gap: number;
}

/** data[low, high) that has no match yet, and the matches below and above it. */
export interface Stretch {
  readonly low: number;
  readonly high: number;
  readonly below: Side | undefined;
  readonly above: Side | undefined;
  /** The nearest matches that are too long to be chance: only they tell where the content does not stand. */
  readonly sureBelow: Side | undefined;
  readonly sureAbove: Side | undefined;
}

/** The farthest from the expected place that a key is looked for: read at once. */
const REACH = RESUME_DISTANCE_MAX + EDIT_LENGTH_MAX + KEY_LENGTH;

/** Where keys are taken: densely near the match, because most edits are short. */
const DISTANCES = distances();

function distances(): readonly number[] {
  const list: number[] = [];
  for (let distance = 0; distance <= RESUME_DISTANCE_MAX;) {
    list.push(distance);
    if (distance < 512) distance += KEY_LENGTH;
    else if (distance < 2048) distance += 4 * KEY_LENGTH;
    else distance += 8 * KEY_LENGTH;
  }
  return list;
}

/** Whether a run is worth an extent. */
export function pays(run: Run, matching: Matching): boolean {
  const length = lengthOf(run);
  if (length >= MATCH_LENGTH_MIN) return true;
  const atEdge = run.start === 0 || run.end === matching.data.length;
  return atEdge && length >= EDGE_MATCH_LENGTH_MIN;
}

/** File offset behind which the content of the stretch should stand, given the match below it. */
export function sourceBehind(matching: Matching, low: number, below: Side): number {
  return matching.source(low, below.shift) - below.gap;
}

/** File offset before which the content of the stretch should stand, given the match above it. */
export function sourceAhead(matching: Matching, high: number, above: Side): number {
  return matching.source(high, above.shift) + above.gap;
}

/** The first run behind the match below. */
export function searchBehind(matching: Matching, stretch: Stretch): Run | undefined {
  const { low, high, below, sureAbove } = stretch;
  if (below === undefined || below.gap > GAP_LENGTH_MAX) return undefined;
  const start = sourceBehind(matching, low, below);
  const endMax = sureAbove ? sourceAhead(matching, high, sureAbove) : matching.old.size;
  matching.old.range(start, Math.min(start + below.gap + REACH, endMax));
  for (const distance of DISTANCES) {
    const at = low + distance;
    if (at + KEY_LENGTH > high) return undefined;
    if (matching.keyStands(at, below.shift)) {
      const run = matching.runAround(at, below.shift, low, high);
      if (pays(run, matching)) return run;
    }
    const end = Math.min(start + below.gap + distance + EDIT_LENGTH_MAX + KEY_LENGTH, endMax);
    const run = searchKey(matching, stretch, at, start, end, true, pays);
    if (run !== undefined) return run;
  }
  return undefined;
}

/** The last run before the match above. */
export function searchAhead(matching: Matching, stretch: Stretch): Run | undefined {
  const { low, high, above, sureBelow } = stretch;
  if (above === undefined || above.gap > GAP_LENGTH_MAX) return undefined;
  const end = sourceAhead(matching, high, above);
  const startMin = sureBelow ? sourceBehind(matching, low, sureBelow) : 0;
  matching.old.range(Math.max(end - above.gap - REACH, startMin), end);
  for (const distance of DISTANCES) {
    const at = high - KEY_LENGTH - distance;
    if (at < low) return undefined;
    if (matching.keyStands(at, above.shift)) {
      const run = matching.runAround(at, above.shift, low, high);
      if (pays(run, matching)) return run;
    }
    const start = Math.max(end - above.gap - distance - EDIT_LENGTH_MAX - KEY_LENGTH, startMin);
    const run = searchKey(matching, stretch, at, start, end, false, pays);
    if (run !== undefined) return run;
  }
  return undefined;
}

/**
 * The first run (`forward`; else the last) through the key at data[at] whose key stands in the file's
 * [start, end) and that `accept` takes.
 */
export function searchKey(
  matching: Matching,
  stretch: Stretch,
  at: number,
  start: number,
  end: number,
  forward: boolean,
  accept: (run: Run, matching: Matching) => boolean,
): Run | undefined {
  if (end - start < KEY_LENGTH || !matching.maySearch()) return undefined;
  const key = matching.key(at);
  if (key === undefined) return undefined;
  const window = matching.old.range(start, end);
  if (window === undefined) return undefined;
  const { base, bytes } = window;
  let from = forward ? 0 : bytes.length - KEY_LENGTH;
  for (let occurrence = 0; occurrence < OCCURRENCES_MAX && from >= 0; occurrence++) {
    const found = forward ? bytes.indexOf(key, from) : bytes.lastIndexOf(key, from);
    const passed = forward
      ? (found < 0 ? bytes.length : found + KEY_LENGTH) - from
      : from + KEY_LENGTH - Math.max(found, 0);
    matching.old.work.bytesSearched += passed;
    if (found < 0) return undefined;
    const shift = matching.offset + at - (base + found);
    const run = matching.runAround(at, shift, stretch.low, stretch.high);
    if (accept(run, matching)) return run;
    from = forward ? found + 1 : found - 1;
  }
  return undefined;
}

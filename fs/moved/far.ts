/**
 * The search where the place is not known: a mover has just begun, or has left out a whole message.
 * Rings around (behind, before) the expected place, the nearest first. What a search in vain has
 * covered is told, so that the next WRITE of the mover looks farther on.
 */
import {
  FAR_LENGTH_MAX,
  FAR_LENGTH_PER_BYTE,
  FAR_MATCH_LENGTH_SURE,
  HEADER_LENGTH,
  KEY_LENGTH,
  MATCH_LENGTH_MIN,
  MESSAGE_MATCH_LENGTH_GOOD,
  MESSAGE_MATCH_LENGTH_SURE,
  MESSAGE_NEAR_LENGTH,
  NEAR_LENGTH,
  SHIFT_MATCH_LENGTH_MIN,
} from "./limits.ts";
import { lengthOf, type Matching, type Run } from "./matching.ts";
import { searchKey, sourceAhead, sourceBehind, type Stretch } from "./near.ts";

export type Direction = "up" | "down";

export interface FarResult {
  readonly run: Run | undefined;
  /** In vain: the end (going up) or start (going down) of what was searched. */
  readonly searchedTo: number;
}

/** What is looked for. Lengths of matches and distances are in bytes. */
export interface Wanted {
  /** Ends the search at once. */
  readonly sure: number;
  /** Ends it with the ring in which it was found. */
  readonly good: number;
  /** Of the first ring. */
  readonly near: number;
  /** Where keys are taken, from the side of the stretch that is known; undefined: spread over the stretch. */
  readonly places: readonly number[] | undefined;
  /** Which of them are looked for in the outer rings, which are large. */
  readonly outer: readonly [from: number, to: number];
}

const WANTED: Wanted = {
  sure: FAR_MATCH_LENGTH_SURE,
  good: SHIFT_MATCH_LENGTH_MIN,
  near: NEAR_LENGTH,
  places: undefined,
  outer: [1, 3],
};

/** Parts of a header: ids and dates, which no other message has, stand in its middle, blanks at its end. */
const HEADER_PLACES = [1 / 3, 1 / 2, 1 / 6, 5 / 12, 1 / 4, 7 / 12, 2 / 3, 1 / 12];
/** Parts of what is longer than a header: its first bytes may all be new. */
const SPREAD_PLACES = [1 / 16, 1 / 3, 15 / 16];

/** A message of which so many bytes are at hand. */
export function wantedOfMessage(length: number): Wanted {
  const keysLength = Math.min(length, HEADER_LENGTH) - KEY_LENGTH;
  const header = HEADER_PLACES.map((part) => Math.floor(part * keysLength));
  const spread = SPREAD_PLACES.map((part) => Math.floor(part * (length - KEY_LENGTH)));
  const [first = 0, second = 0, ...others] = header;
  const [behind = 0, ...farther] = spread;
  return {
    sure: Math.min((3 * length) / 4, MESSAGE_MATCH_LENGTH_SURE),
    good: Math.min(length / 2, MESSAGE_MATCH_LENGTH_GOOD),
    near: MESSAGE_NEAR_LENGTH,
    places:
      length <= 2 * HEADER_LENGTH
        ? header
        : [first, behind, second, ...farther, ...others.slice(0, 3)],
    outer: [0, 4],
  };
}

interface Ring {
  readonly start: number;
  readonly end: number;
}

/**
 * `direction`: where the writes go, as far as one knows. `searchedTo`: what earlier searches of this mover
 * have covered, undefined for none.
 */
export function searchFar(
  matching: Matching,
  stretch: Stretch,
  direction: Direction,
  searchedTo: number | undefined,
  wanted: Wanted = WANTED,
): FarResult {
  const forward =
    stretch.below !== undefined || (stretch.above === undefined && direction === "up");
  const rings = ringsFor(matching, stretch, forward, wanted.near, searchedTo);
  const keysAt = keyPlaces(stretch, forward, wanted.places);
  let best: Run | undefined;
  for (let i = 0; i < rings.length; i++) {
    const ring = rings[i]!;
    const places = i === 0 ? keysAt : keysAt.slice(...wanted.outer);
    for (const at of places) {
      let longest: Run | undefined;
      const sure = searchKey(matching, stretch, at, ring.start, ring.end, forward, (run) => {
        if (longest === undefined || lengthOf(run) > lengthOf(longest)) longest = run;
        return lengthOf(run) >= wanted.sure;
      });
      if (sure !== undefined) return { run: sure, searchedTo: ring.end };
      best = longer(best, longest);
    }
    // A short match can be a header line that many messages have: look on for a better one.
    if (best !== undefined && lengthOf(best) >= wanted.good) break;
  }
  const last = rings.at(-1);
  const reached = last === undefined ? matching.offset : forward ? last.end : last.start;
  const run = best !== undefined && lengthOf(best) >= MATCH_LENGTH_MIN ? best : undefined;
  return { run, searchedTo: reached };
}

function longer(a: Run | undefined, b: Run | undefined): Run | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return lengthOf(b) > lengthOf(a) ? b : a;
}

/** Without `distances` usually four, at growing distance from the known side, or spread when there is none. */
function keyPlaces(stretch: Stretch, forward: boolean, distances?: readonly number[]): number[] {
  const last = stretch.high - KEY_LENGTH;
  const length = last - stretch.low;
  const known = stretch.sureBelow !== undefined || stretch.sureAbove !== undefined;
  const fractions = known ? [0, 1 / 16, 1 / 3, 1] : [1 / 16, 5 / 16, 10 / 16, 15 / 16];
  const taken = distances ?? fractions.map((fraction) => Math.floor(fraction * length));
  const places = taken.map((distance) => (forward ? stretch.low + distance : last - distance));
  return [...new Set(places)];
}

function ringsFor(
  matching: Matching,
  stretch: Stretch,
  forward: boolean,
  nearLength: number,
  searchedTo: number | undefined,
): Ring[] {
  const length = matching.data.length;
  const total = Math.min(FAR_LENGTH_MAX, Math.max(2 * NEAR_LENGTH, length * FAR_LENGTH_PER_BYTE));
  const { low, high, sureBelow, sureAbove } = stretch;
  const below = sureBelow && sourceBehind(matching, low, sureBelow);
  const above = sureAbove && sourceAhead(matching, high, sureAbove);
  const startMin = Math.max(0, below ?? 0);
  const endMax = Math.min(matching.old.size, above ?? matching.old.size);
  const rings: Ring[] = [];
  const add = (start: number, end: number): void => {
    start = Math.max(start, startMin);
    end = Math.min(end, endMax);
    if (end - start >= KEY_LENGTH) rings.push({ start, end });
  };
  const known = below !== undefined || above !== undefined;
  const here = { start: matching.source(low, 0), end: matching.source(high, 0) };
  if (forward) {
    const base = below ?? here.start;
    const first = (below ?? here.end) + nearLength;
    add(known ? base : base - nearLength, first);
    const near = (below ?? here.end) + NEAR_LENGTH;
    if (first < near) add(first - KEY_LENGTH, near);
    const next = Math.max(near - KEY_LENGTH, searchedTo ?? 0);
    add(next, next + total / 4);
    add(next + total / 4 - KEY_LENGTH, next + (total * 3) / 4);
    if (!known && searchedTo === undefined) add(base - NEAR_LENGTH - total / 8, base - NEAR_LENGTH);
  } else {
    const base = above ?? here.end;
    const first = (above ?? here.start) - nearLength;
    add(first, known ? base : base + nearLength);
    const near = (above ?? here.start) - NEAR_LENGTH;
    if (first > near) add(near, first + KEY_LENGTH);
    const next = Math.min(near + KEY_LENGTH, searchedTo ?? Infinity);
    add(next - total / 4, next);
    add(next - (total * 3) / 4, next - total / 4 + KEY_LENGTH);
    if (!known && searchedTo === undefined) add(base + NEAR_LENGTH, base + NEAR_LENGTH + total / 8);
  }
  return rings;
}

/** A set of segment numbers as ascending runs [first, count, ...] that do not touch each other. Immutable. */

export type SegmentSet = readonly number[];

export const NO_SEGMENTS: SegmentSet = [];

export function hasSegment(set: SegmentSet, segment: number): boolean {
  // The first run that ends behind the segment.
  let low = 0;
  let high = set.length / 2;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((set[2 * middle] as number) + (set[2 * middle + 1] as number) <= segment) low = middle + 1;
    else high = middle;
  }
  return low < set.length / 2 && (set[2 * low] as number) <= segment;
}

export function segmentSet(segments: Iterable<number>): SegmentSet {
  const runs: number[] = [];
  for (const segment of [...new Set(segments)].sort((a, b) => a - b)) {
    const last = runs.length - 2;
    if (last >= 0 && (runs[last] as number) + (runs[last + 1] as number) === segment) {
      runs[last + 1] = (runs[last + 1] as number) + 1;
    } else {
      runs.push(segment, 1);
    }
  }
  return runs;
}

/** The runs of both, joined: as long as runs, however many segments they hold. */
export function union(one: SegmentSet, other: SegmentSet): SegmentSet {
  const runs: number[] = [];
  let a = 0;
  let b = 0;
  while (a < one.length || b < other.length) {
    const isOne =
      b >= other.length || (a < one.length && (one[a] as number) < (other[b] as number));
    const set = isOne ? one : other;
    const k = isOne ? a : b;
    if (isOne) a += 2;
    else b += 2;
    const first = set[k] as number;
    const count = set[k + 1] as number;
    const last = runs.length - 2;
    const end = last < 0 ? -1 : (runs[last] as number) + (runs[last + 1] as number);
    if (last >= 0 && first <= end) {
      runs[last + 1] = Math.max(end, first + count) - (runs[last] as number);
    } else {
      runs.push(first, count);
    }
  }
  return runs;
}

/** The first number from 1 to `last` that neither exists nor is in the set; undefined when there is none. */
export function firstMissing(
  existing: readonly number[],
  removed: SegmentSet,
  last: number,
): number | undefined {
  const runs = union(segmentSet(existing), removed);
  const first =
    runs.length === 0 || (runs[0] as number) > 1 ? 1 : (runs[0] as number) + (runs[1] as number);
  return first <= last ? first : undefined;
}

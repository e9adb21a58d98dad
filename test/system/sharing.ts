/** Which bytes of the files in a store that nobody has open are shared with another file, or twice in one. */
import { Store } from "../../fs/store/store.ts";
import { ROOT_INO } from "../../fs/store/state/counters.ts";

/** [start, end) of a file, in order, without gaps between them that are not holes. */
export interface Range {
  readonly start: number;
  readonly end: number;
  readonly isShared: boolean;
}

/** The ranges of each file of the root directory that is named, by their names. */
export async function sharingOf(
  directory: string,
  names: readonly string[],
): Promise<Map<string, readonly Range[]>> {
  const store = await Store.open(directory);
  try {
    const { state } = store.internals();
    const found = new Map<string, readonly Range[]>();
    for (const name of names) {
      const inode = state.named(ROOT_INO, name);
      if (inode === undefined) continue;
      const ranges: Range[] = [];
      let at = 0;
      for (const { unit, offset, length } of store.extents(inode.ino, 0, inode.size)) {
        if (unit !== 0) {
          const runs = store.unitReferences(unit) ?? [];
          ranges.push(...rangesOf(runs, offset, length, at));
        }
        at += length;
      }
      found.set(name, ranges);
    }
    return found;
  } finally {
    await store.close();
  }
}

/** `runs`: [length, count, ...] over the whole unit. */
function* rangesOf(
  runs: readonly number[],
  offset: number,
  length: number,
  at: number,
): Generator<Range> {
  let from = 0;
  for (let k = 0; k + 1 < runs.length; k += 2) {
    const to = from + runs[k]!;
    const start = Math.max(from, offset);
    const end = Math.min(to, offset + length);
    if (start < end) {
      yield { start: at + start - offset, end: at + end - offset, isShared: runs[k + 1]! > 1 };
    }
    from = to;
  }
}

/** How many of the file's bytes [start, end) are shared. */
export function sharedBytes(ranges: readonly Range[], start: number, end: number): number {
  let bytes = 0;
  for (let k = firstBehind(ranges, start); k < ranges.length && ranges[k]!.start < end; k++) {
    const range = ranges[k]!;
    if (range.isShared) bytes += Math.min(end, range.end) - Math.max(start, range.start);
  }
  return bytes;
}

/** The first range that ends behind this place. */
function firstBehind(ranges: readonly Range[], place: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ranges[middle]!.end <= place) low = middle + 1;
    else high = middle;
  }
  return low;
}

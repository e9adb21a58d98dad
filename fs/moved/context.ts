/**
 * Short WRITEs behind edited bytes: the data alone has no key, so it is looked at together with the new
 * bytes that were written just before it, and these are taken out of the old content again (the
 * overlay), because a source that lies close by is just what they replaced.
 */
import {
  CONTEXT_LENGTH_MAX,
  FAR_LENGTH_MAX,
  READ_BLOCK_LENGTH_QUIET,
  READ_SMALL_MAX,
} from "./limits.ts";
import { Matching, type Run } from "./matching.ts";
import { OldContent, type ReadOld } from "./old.ts";
import type { Side } from "./near.ts";
import type { Edge } from "./state.ts";
import { type SearchPlan, type SearchResult, searchStretch } from "./stretches.ts";

const EMPTY = Buffer.alloc(0);

/**
 * Runs of `matching.data`, checked against the true old content. `match`: where the content should go on;
 * `side`: where it and the earlier bytes are.
 */
export function searchWithContext(
  matching: Matching,
  { readOld, readWritten }: { readonly readOld: ReadOld; readonly readWritten?: ReadOld },
  edge: Edge,
  match: Side | undefined,
  side: "below" | "above",
  plan: SearchPlan,
): SearchResult {
  const { data, offset, old } = matching;
  const replaced = edge.replaced;
  const isBelow = side === "below";
  // A wrong state may tell of bytes outside the file.
  const room = isBelow ? (offset > old.size ? 0 : offset) : old.size - (offset + data.length);
  const contextLength = Math.max(0, Math.min(edge.gap, replaced?.length ?? 0, room));
  const contextOffset = isBelow ? offset - contextLength : offset + data.length;
  const context =
    (contextLength > 0 &&
      (readWritten?.(contextOffset, contextLength) ??
        old.peek(contextOffset, contextOffset + contextLength))) ||
    EMPTY;
  const text = Buffer.concat(isBelow ? [context, data] : [data, context]);
  const overlay =
    replaced === undefined
      ? undefined
      : {
          offset: contextOffset,
          bytes: isBelow
            ? replaced.subarray(replaced.length - contextLength)
            : replaced.subarray(0, contextLength),
        };
  const overlaid = new OldContent(
    readOld,
    old.size,
    FAR_LENGTH_MAX + READ_SMALL_MAX,
    old.work,
    overlay,
  );
  const textStart = isBelow ? contextLength : 0;
  const inText = new Matching(text, offset - textStart, overlaid, READ_BLOCK_LENGTH_QUIET);
  const known =
    match === undefined
      ? undefined
      : { shift: match.shift, gap: Math.max(0, match.gap - contextLength) };
  const found = searchStretch(
    inText,
    {
      low: 0,
      high: text.length,
      below: isBelow ? known : undefined,
      above: isBelow ? undefined : known,
      sureBelow: isBelow ? known : undefined,
      sureAbove: isBelow ? undefined : known,
    },
    plan,
  );
  const runs: Run[] = [];
  for (const run of found.runs) {
    const start = Math.max(run.start - textStart, 0);
    const end = Math.min(run.end - textStart, data.length);
    if (end <= start) continue;
    const checked = checkedRun(matching, { start, end, shift: run.shift }, isBelow);
    if (checked.end > checked.start) runs.push(checked);
  }
  return { ...found, runs };
}

/** What of the run stands in the old content without the overlay: from the side where the run goes on. */
function checkedRun(matching: Matching, run: Run, fromStart: boolean): Run {
  const { start, end, shift } = run;
  return fromStart
    ? { start, end: matching.extendForward(start, shift, end), shift }
    : { start: matching.extendBackward(end, shift, start), end, shift };
}

/** The replaced bytes that the next short WRITE needs, undefined where none are known. */
export function replacedBytes(
  matching: Matching,
  edge: Edge | undefined,
  gapHere: number,
  side: "low" | "high",
): Buffer | undefined {
  if (gapHere === 0) return undefined;
  const { offset, data, old } = matching;
  const length = Math.min(gapHere, CONTEXT_LENGTH_MAX);
  const start = side === "high" ? offset + data.length - length : offset;
  // What lies past the end of the file was nothing: zeros stand for it.
  const here = Buffer.alloc(length);
  const window = old.range(start, start + length);
  window?.bytes.copy(here, window.base - start);
  const earlier = gapHere === data.length ? edge?.replaced : undefined;
  if (earlier === undefined) return here;
  if (side === "high") {
    const all = Buffer.concat([earlier, here]);
    return all.subarray(Math.max(0, all.length - CONTEXT_LENGTH_MAX));
  }
  return Buffer.concat([here, earlier]).subarray(0, CONTEXT_LENGTH_MAX);
}

/** What was written last on both sides of a WRITE. */
import { GAP_LENGTH_MAX, SKIP_LENGTH_MAX, TRUSTED_GAP_LENGTH_MAX } from "./limits.ts";
import type { Side } from "./near.ts";
import type { Edge, MoverState } from "./state.ts";

/** The ends of what was written last where this WRITE adjoins it, or leaves out a few bytes. */
export interface Neighbours {
  readonly below: Edge | undefined;
  readonly above: Edge | undefined;
  /** Nothing is left out, on that side. */
  readonly adjoinsBelow: boolean;
  readonly adjoinsAbove: boolean;
}

export function neighboursOf(last: MoverState, offset: number, length: number): Neighbours {
  const skippedBelow = offset - last.end;
  const skippedAbove = last.start - (offset + length);
  return {
    below: skippedBelow === 0 ? last.high : edgeBeyond(last.high, skippedBelow),
    above: skippedAbove === 0 ? last.low : edgeBeyond(last.low, skippedAbove),
    adjoinsBelow: skippedBelow === 0,
    adjoinsAbove: skippedAbove === 0,
  };
}

/** The edge of a mover that has left out a few bytes: they count as new ones. */
function edgeBeyond(edge: Edge, skipped: number): Edge | undefined {
  if (skipped <= 0 || skipped > SKIP_LENGTH_MAX) return undefined;
  const { trusted } = edge;
  const moves = isMoving(edge) || (trusted?.shift ?? 0) !== 0 || edge.searchedTo !== undefined;
  if (!moves) return undefined;
  return {
    ...edge,
    gap: edge.gap + skipped,
    trusted: trusted && { shift: trusted.shift, gap: trusted.gap + skipped },
    replaced: undefined,
  };
}

/** A match ended at this edge, or so few bytes before it that it is still known where to look. */
export function isRunning(edge: Edge | undefined): edge is Edge & { shift: number } {
  return edge?.shift !== undefined && edge.gap <= GAP_LENGTH_MAX;
}

export function isMoving(edge: Edge | undefined): boolean {
  return isRunning(edge) && edge.shift !== 0;
}

export function sideOfEdge(edge: Edge | undefined): Side | undefined {
  return isRunning(edge) ? { shift: edge.shift, gap: edge.gap } : undefined;
}

export function trustedSide(edge: Edge | undefined): Side | undefined {
  return edge?.trusted !== undefined && edge.trusted.gap <= TRUSTED_GAP_LENGTH_MAX
    ? edge.trusted
    : undefined;
}

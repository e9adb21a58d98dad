/** Where the bytes of units are that nobody refers to, and what they wait for. Pure. */
import type { SegmentUse } from "../state/segment-use.ts";

/**
 * - `last`: the segment is still written to.
 * - `index`: what the index does not cover is not cleaned. It is written as the log grows, and by `reclaim --now`.
 * - `indexFull`: the same, on a disk that has no room for the index.
 * - `roomToMove`: the disk is full, and what lives beside them does not fit into what is left of the reserve.
 * - `little`: moving what lives beside them is not worth it.
 * - `cleaning`: nothing; they go in their turn.
 */
export type WaitReason = "last" | "index" | "indexFull" | "roomToMove" | "little" | "cleaning";

export interface Waiting {
  readonly reason: WaitReason;
  readonly bytes: number;
  /** How many segments they are in. */
  readonly segments: number;
}

/** What `onespool stat` tells of it. */
export interface DeadUse {
  readonly deadLastBytes: number;
  readonly deadUnindexedBytes: number;
  /** On a full disk: for room for the index, or for what lives beside them. */
  readonly deadNoRoomBytes: number;
}

export function deadUse(waiting: readonly Waiting[]): DeadUse {
  const of = (...reasons: readonly WaitReason[]): number => {
    let sum = 0;
    for (const { reason, bytes } of waiting) if (reasons.includes(reason)) sum += bytes;
    return sum;
  };
  return {
    deadLastBytes: of("last"),
    deadUnindexedBytes: of("index"),
    deadNoRoomBytes: of("indexFull", "roomToMove"),
  };
}

export interface WaitingOptions {
  readonly last: number;
  /** The segment in which the position stands that the index covers. */
  readonly covered: number;
  /** Segments that are left as they are have a reason of their own. */
  readonly kept: ReadonlyMap<number, unknown>;
  readonly isShort: boolean;
  /** How many bytes the disk lets be moved. */
  readonly movedMax: number;
  readonly deadPartMin: number;
}

export function waitingOf(uses: Iterable<SegmentUse>, options: WaitingOptions): Waiting[] {
  const found = new Map<WaitReason, { bytes: number; segments: number }>();
  for (const use of uses) {
    const bytes = use.unitBytes - use.liveBytes;
    if (bytes <= 0 || options.kept.has(use.segment)) continue;
    const reason = reasonOf(use, options);
    const sum = found.get(reason) ?? { bytes: 0, segments: 0 };
    found.set(reason, { bytes: sum.bytes + bytes, segments: sum.segments + 1 });
  }
  return [...found].map(([reason, sum]) => ({ reason, ...sum }));
}

function reasonOf(use: SegmentUse, options: WaitingOptions): WaitReason {
  const { last, covered, isShort, movedMax, deadPartMin } = options;
  if (use.segment >= last) return "last";
  if (use.liveBytes > movedMax) return "roomToMove";
  if (use.unitBytes - use.liveBytes < deadPartMin * use.unitBytes) return "little";
  if (use.segment >= covered) return isShort ? "indexFull" : "index";
  return "cleaning";
}

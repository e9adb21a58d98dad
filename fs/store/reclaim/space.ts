/**
 * How much of a store is in use, and how large it may be for that (docs/SPACE.md). Pure.
 *
 * Metadata counts as what it would take in the log if it were written once, by the weights below.
 */
import type { Counters } from "../state/counters.ts";

const UNIT_WEIGHT = 40;
const INODE_WEIGHT = 64;
const NAME_WEIGHT = 24;
const EXTENT_WEIGHT = 8;

/** A store is at most as large as its live bytes divided by this, and SPARE_SEGMENTS more. */
export const LIVE_PART_MIN = 0.5;
export const SPARE_SEGMENTS = 3;
/** Cleaning begins earlier, so that it need not hurry: at this part, and so many segments more. */
export const LIVE_PART_WANTED = 0.65;
export const SPARE_SEGMENTS_WANTED = 2;

export function liveMetadataBytes(counters: Counters): number {
  return (
    counters.units * UNIT_WEIGHT +
    (counters.files + counters.directories) * INODE_WEIGHT +
    counters.attributeBytes +
    counters.names * NAME_WEIGHT +
    counters.nameBytes +
    counters.extents * EXTENT_WEIGHT
  );
}

export function liveBytes(counters: Counters): number {
  return counters.storedBytes + liveMetadataBytes(counters);
}

/** Bytes of all segments. */
export function logBytesMax(live: number, segmentLength: number): number {
  return live / LIVE_PART_MIN + SPARE_SEGMENTS * segmentLength;
}

/** 0: nothing need be cleaned; 1: the log is as long as it may be. */
export function urgency(logBytes: number, live: number, segmentLength: number): number {
  const from = live / LIVE_PART_WANTED + SPARE_SEGMENTS_WANTED * segmentLength;
  return (logBytes - from) / (logBytesMax(live, segmentLength) - from);
}

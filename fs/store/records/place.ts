/** A place in the log as one number that grows with the log: a segment and an offset below 4 GiB in it. */

const SEGMENT = 0x1_0000_0000;
/** The last segment of which places are exact: 128 TiB were written to a log of segments of 64 MiB. */
export const SEGMENT_MAX = 0x1f_ffff;

export function placeOf(segment: number, offset: number): number {
  return segment * SEGMENT + offset;
}

export function segmentOf(place: number): number {
  return Math.floor(place / SEGMENT);
}

export function offsetOf(place: number): number {
  return place % SEGMENT;
}

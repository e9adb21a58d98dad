/** A place in the log as one number that grows with the log: a segment and an offset below 4 GiB in it. */

const SEGMENT = 0x1_0000_0000;

export function placeOf(segment: number, offset: number): number {
  return segment * SEGMENT + offset;
}

export function segmentOf(place: number): number {
  return Math.floor(place / SEGMENT);
}

export function offsetOf(place: number): number {
  return place % SEGMENT;
}

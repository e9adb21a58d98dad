/** Where two byte strings part. Node compares natively at memory speed; only the last few bytes are looked at here. */

const BLOCK_FIRST = 64;
const BLOCK_MAX = 256 << 10;
const BYTE_BY_BYTE = 16;

/** How many of the `max` bytes of `a` from `aStart` and of `b` from `bStart` are equal from the start. */
export function commonPrefix(
  a: Buffer,
  aStart: number,
  b: Buffer,
  bStart: number,
  max: number,
): number {
  let equal = 0;
  let block = BLOCK_FIRST;
  // The length in which a difference is known to be.
  let differs = max;
  if (max > 0 && a[aStart] !== b[bStart]) return 0;
  while (equal < max) {
    const length = Math.min(block, max - equal);
    const a0 = aStart + equal;
    const b0 = bStart + equal;
    if (a.compare(b, b0, b0 + length, a0, a0 + length) !== 0) {
      differs = equal + length;
      break;
    }
    equal += length;
    block = Math.min(block * 8, BLOCK_MAX);
  }
  if (equal === max) return max;
  while (differs - equal > BYTE_BY_BYTE) {
    const half = (differs - equal) >> 1;
    const a0 = aStart + equal;
    const b0 = bStart + equal;
    if (a.compare(b, b0, b0 + half, a0, a0 + half) === 0) equal += half;
    else differs = equal + half;
  }
  while (equal < differs && a[aStart + equal] === b[bStart + equal]) equal++;
  return equal;
}

/** How many of the `max` bytes of `a` before `aEnd` and of `b` before `bEnd` are equal from the end. */
export function commonSuffix(
  a: Buffer,
  aEnd: number,
  b: Buffer,
  bEnd: number,
  max: number,
): number {
  let equal = 0;
  let block = BLOCK_FIRST;
  let differs = max;
  if (max > 0 && a[aEnd - 1] !== b[bEnd - 1]) return 0;
  while (equal < max) {
    const length = Math.min(block, max - equal);
    const a1 = aEnd - equal;
    const b1 = bEnd - equal;
    if (a.compare(b, b1 - length, b1, a1 - length, a1) !== 0) {
      differs = equal + length;
      break;
    }
    equal += length;
    block = Math.min(block * 8, BLOCK_MAX);
  }
  if (equal === max) return max;
  while (differs - equal > BYTE_BY_BYTE) {
    const half = (differs - equal) >> 1;
    const a1 = aEnd - equal;
    const b1 = bEnd - equal;
    if (a.compare(b, b1 - half, b1, a1 - half, a1) === 0) equal += half;
    else differs = equal + half;
  }
  while (equal < differs && a[aEnd - 1 - equal] === b[bEnd - 1 - equal]) equal++;
  return equal;
}

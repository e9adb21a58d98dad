/**
 * A unit as cleaning writes it again: the parts that are referenced, with checksums of their own that are made
 * only of bytes whose old checksum fits. Pure.
 */
import type { Chunks } from "../records/chunks.ts";
import { CHUNK_WIDTH, stores } from "../records/chunks.ts";
import { crc32c } from "../records/format.ts";

export interface Trimmed {
  readonly chunks: Chunks;
  readonly parts: readonly Buffer[];
}

/** What a chunk of its own would take in the frame: no fewer bytes are left out between two parts. */
const GAP_KEPT_MAX = 8;

/**
 * `wanted`: parts [offset, length, ...] in order. `data`: the bytes of the chunks, one behind the other. Undefined when
 * bytes that are wanted are damaged or missing.
 */
export function trim(chunks: Chunks, wanted: readonly number[], data: Buffer): Trimmed | undefined {
  const kept = withSmallGaps(chunks, wanted);
  const result: number[] = [];
  const parts: Buffer[] = [];
  let missing = 0;
  for (let k = 1; k < kept.length; k += 2) missing += kept[k] as number;
  let part = 0;
  let position = 0;
  for (let k = 0; k < chunks.length; k += CHUNK_WIDTH) {
    const start = chunks[k] as number;
    const length = chunks[k + 1] as number;
    const checksum = chunks[k + 2] as number;
    const end = start + length;
    let isChecked = false;
    while (part < kept.length && (kept[part] as number) < end) {
      const partEnd = (kept[part] as number) + (kept[part + 1] as number);
      const from = Math.max(start, kept[part] as number);
      const to = Math.min(end, partEnd);
      if (from < to) {
        if (!isChecked) {
          const whole = data.subarray(position, position + length);
          if (whole.length < length || crc32c(whole) !== checksum) return undefined;
          isChecked = true;
        }
        const bytes = data.subarray(position + from - start, position + to - start);
        result.push(from, bytes.length, bytes.length === length ? checksum : crc32c(bytes));
        parts.push(bytes);
        missing -= bytes.length;
      }
      if (partEnd > end) break;
      part += 2;
    }
    position += length;
  }
  return missing === 0 ? { chunks: result, parts } : undefined;
}

function withSmallGaps(chunks: Chunks, wanted: readonly number[]): number[] {
  const kept: number[] = [];
  for (let k = 0; k < wanted.length; k += 2) {
    const offset = wanted[k] as number;
    const length = wanted[k + 1] as number;
    const last = kept.length - 2;
    const end = last < 0 ? 0 : (kept[last] as number) + (kept[last + 1] as number);
    const gap = offset - end;
    if (last >= 0 && gap <= GAP_KEPT_MAX && stores(chunks, end, gap)) {
      kept[last + 1] = (kept[last + 1] as number) + gap + length;
    } else {
      kept.push(offset, length);
    }
  }
  return kept;
}

/**
 * Which segments to clean next: those that give back most for what has to be written again, and of equals the
 * older ones, whose bytes have shown that they stay (Rosenblum and Ousterhout's cost and benefit). Pure.
 *
 * What a segment's metadata costs is estimated from that of the whole log: an inode that has a snapshot anywhere
 * behind it costs nothing, so the first segments of a round pay for those that follow.
 */

export interface Candidate {
  readonly segment: number;
  /** Bytes of the file. */
  readonly length: number;
  /** Bytes of units in it, and those that are referenced. */
  readonly unitBytes: number;
  readonly liveBytes: number;
}

export interface VictimOptions {
  /** Of all metadata in the log, the part that is current. */
  readonly liveMetadataPart: number;
  /** Segments with a smaller dead part are left alone. */
  readonly deadPartMin: number;
  /** What a batch may leave to be written again (bytes), unless one segment alone is over it. */
  readonly batchLiveBytesMax: number;
}

export const BATCH_SEGMENTS_MAX = 16;

export function chooseVictims(candidates: readonly Candidate[], options: VictimOptions): number[] {
  const newest = Math.max(...candidates.map(({ segment }) => segment));
  const scored = candidates
    .map((candidate) => ({ candidate, live: livePart(candidate, options.liveMetadataPart) }))
    .filter(({ live }) => 1 - live >= options.deadPartMin)
    .map(({ candidate, live }) => {
      const age = newest - candidate.segment + 1;
      return { candidate, live, score: ((1 - live) * age) / (1 + live) };
    })
    .sort((a, b) => b.score - a.score);
  const chosen: number[] = [];
  let bytes = 0;
  for (const { candidate, live } of scored) {
    bytes += live * candidate.length;
    if (chosen.length > 0 && bytes > options.batchLiveBytesMax) break;
    chosen.push(candidate.segment);
    if (chosen.length >= BATCH_SEGMENTS_MAX) break;
  }
  return chosen.sort((a, b) => a - b);
}

function livePart({ length, unitBytes, liveBytes }: Candidate, liveMetadataPart: number): number {
  const metadata = Math.max(0, length - unitBytes);
  return Math.min(1, (liveBytes + metadata * liveMetadataPart) / Math.max(1, length));
}

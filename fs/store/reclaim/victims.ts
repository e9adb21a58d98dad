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
  const chosen: number[] = [];
  let bytes = 0;
  for (const { candidate, live } of best(candidates, options)) {
    bytes += live * candidate.length;
    if (chosen.length > 0 && bytes > options.batchLiveBytesMax) break;
    chosen.push(candidate.segment);
  }
  return chosen.sort((a, b) => a - b);
}

interface Scored {
  readonly candidate: Candidate;
  readonly live: number;
  readonly score: number;
}

/** As many as a batch may have, the best first. All of them are never put in order: there may be tens of thousands. */
function best(
  candidates: readonly Candidate[],
  { liveMetadataPart, deadPartMin }: VictimOptions,
): Scored[] {
  let newest = 0;
  for (const { segment } of candidates) newest = Math.max(newest, segment);
  const found: Scored[] = [];
  for (const candidate of candidates) {
    const live = livePart(candidate, liveMetadataPart);
    if (1 - live < deadPartMin) continue;
    const age = newest - candidate.segment + 1;
    const score = ((1 - live) * age) / (1 + live);
    if (found.length === BATCH_SEGMENTS_MAX && score <= (found.at(-1) as Scored).score) continue;
    if (found.length === BATCH_SEGMENTS_MAX) found.pop();
    let at = found.length;
    while (at > 0 && (found[at - 1] as Scored).score < score) at--;
    found.splice(at, 0, { candidate, live, score });
  }
  return found;
}

/** What is left to be written again, at a guess. */
export function livePart(
  { length, unitBytes, liveBytes }: Candidate,
  liveMetadataPart: number,
): number {
  const metadata = Math.max(0, length - unitBytes);
  return Math.min(1, (liveBytes + metadata * liveMetadataPart) / Math.max(1, length));
}

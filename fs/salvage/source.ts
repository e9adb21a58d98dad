/** What is whole in a damaged log: where each unit stands, and the commits in order. The source is only read. */
import { ByteReader } from "../../base/bytes.ts";
import type { Change } from "../store/change.ts";
import { decodeChanges } from "../store/change-codec.ts";
import type { Chunks } from "../store/chunks.ts";
import { CHUNK_WIDTH, findBadChunks } from "../store/chunks.ts";
import { SEGMENT_LENGTH, ZEROS_AHEAD } from "../store/format.ts";
import type { UnitFrame } from "../store/frame.ts";
import type { LogDamage } from "../store/log-scan.ts";
import { scanLog } from "../store/log-scan.ts";
import type { SegmentFiles } from "../store/segment-files.ts";
import { scanSegment } from "../store/segment-scan.ts";
import type { SegmentSet } from "../store/segment-set.ts";
import { hasSegment, NO_SEGMENTS, union } from "../store/segment-set.ts";

interface Place {
  readonly segment: number;
  readonly position: number;
  readonly chunks: Chunks;
}

/** A whole chunk of a unit. */
export interface WholeChunk {
  /** In the unit. */
  readonly offset: number;
  readonly bytes: Buffer;
}

export class SalvageSource {
  readonly #files: SegmentFiles;
  readonly #places = new Map<number, Place>();
  /** Inodes with a snapshot whose pages begin before it. */
  readonly mapped = new Set<number>();
  #removed: SegmentSet = NO_SEGMENTS;
  #buffer = Buffer.allocUnsafeSlow(SEGMENT_LENGTH + 2 * ZEROS_AHEAD);

  constructor(files: SegmentFiles) {
    this.#files = files;
  }

  /** Reads all of it once: what is damaged. Before anything else is asked. */
  async scan(onProgress: (part: number) => void): Promise<readonly LogDamage[]> {
    const unit = (segment: number, frame: UnitFrame): void => {
      const { id, chunks } = frame.unit;
      // The last frame of a unit counts, where the segments say so (isRemoved).
      this.#places.set(id, { segment, position: frame.position, chunks });
    };
    const { damage } = await scanLog(this.#files, { unit }, { mayBeTorn: true, onProgress });
    this.#eachCommit(this.#files.list(), (changes) => {
      for (const change of changes) {
        if (change.type === "removed") this.#removed = union(this.#removed, change.segments);
        if (change.type === "inode" && change.mapFrom !== undefined) this.mapped.add(change.ino);
      }
    });
    return damage;
  }

  /** Those that hold anything that counts, in the order of the log. */
  segments(): number[] {
    return this.#files.list().filter((segment) => !hasSegment(this.#removed, segment));
  }

  /** The changes of a segment that can be read, in order. */
  changes(segment: number): Change[] {
    const found: Change[] = [];
    this.#eachCommit([segment], (changes) => found.push(...changes));
    return found;
  }

  #eachCommit(segments: readonly number[], visit: (changes: readonly Change[]) => void): void {
    for (const segment of segments) {
      const length = this.#files.length(segment);
      if (length > this.#buffer.length) this.#buffer = Buffer.allocUnsafeSlow(length);
      const content = this.#buffer.subarray(
        0,
        this.#files.read(segment, 0, this.#buffer, 0, length),
      );
      scanSegment(content, segment, false, (frame) => {
        if (frame.kind !== "commit") return;
        const changes = decode(frame.meta);
        if (changes !== undefined) visit(changes);
      });
    }
  }

  /** Undefined for a unit that is nowhere. */
  unit(id: number): WholeChunk[] | undefined {
    const place = this.#places.get(id);
    if (place === undefined) return undefined;
    const { segment, position, chunks } = place;
    const whole: WholeChunk[] = [];
    let at = position;
    for (let k = 0; k < chunks.length; k += CHUNK_WIDTH) {
      const one = chunks.slice(k, k + CHUNK_WIDTH);
      const [offset = 0, length = 0] = one;
      const bytes = Buffer.alloc(length);
      this.#files.read(segment, at, bytes, 0, length);
      if (findBadChunks(one, bytes, at).length === 0) whole.push({ offset, bytes });
      at += length;
    }
    return whole;
  }
}

function decode(meta: Buffer): Change[] | undefined {
  try {
    return decodeChanges(new ByteReader(Buffer.from(meta)));
  } catch {
    return undefined;
  }
}

/** What is whole in a damaged log: where each unit stands, and the commits in order. The source is only read. */
import { ByteReader } from "../../base/bytes.ts";
import type { Change } from "../store/records/change.ts";
import { decodeChanges } from "../store/records/change-codec.ts";
import type { Chunks } from "../store/records/chunks.ts";
import { CHUNK_WIDTH, findBadChunks } from "../store/records/chunks.ts";
import { SEGMENT_LENGTH, ZEROS_AHEAD } from "../store/records/format.ts";
import type { UnitFrame } from "../store/log/frame.ts";
import type { LogFiles } from "../store/check/index-view.ts";
import type { ScannedLog } from "../store/log/log-scan.ts";
import { scanLog } from "../store/log/log-scan.ts";
import { scanSegment } from "../store/log/segment-scan.ts";
import { hasSegment } from "../store/records/segment-set.ts";

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
  readonly #files: LogFiles;
  readonly #places = new Map<number, Place>();
  /** Inodes with a snapshot whose pages begin before it. */
  readonly mapped = new Set<number>();
  /** Inodes that a record makes, or says that they are gone. */
  readonly settled = new Set<number>();
  #scanned: ScannedLog | undefined;
  #buffer = Buffer.allocUnsafeSlow(SEGMENT_LENGTH + 2 * ZEROS_AHEAD);

  constructor(files: LogFiles) {
    this.#files = files;
  }

  /** Reads all of it: what is whole and what is not. Before anything else is asked. */
  async scan(onProgress: (part: number) => void): Promise<ScannedLog> {
    const unit = (segment: number, frame: UnitFrame): void => {
      const { id, chunks } = frame.unit;
      // The last frame of a unit counts, where the segments say so (isRemoved).
      this.#places.set(id, { segment, position: frame.position, chunks });
    };
    const scanned = await scanLog(this.#files, { unit }, { mayBeTorn: true, onProgress });
    this.#scanned = scanned;
    this.#eachCommit(this.#files.list(), (changes) => {
      for (const change of changes) {
        const { type } = change;
        if (type === "inode" && change.mapFrom !== undefined) this.mapped.add(change.ino);
        if (type === "inode" || type === "dropInode" || type === "absentInode") {
          this.settled.add(change.ino);
        }
      }
    });
    return scanned;
  }

  /** Units of these that no commit names which can be read. */
  unnamed(units: Iterable<number>): number[] {
    const left = new Set(units);
    if (left.size === 0) return [];
    this.#eachCommit(this.segments(), (changes) => {
      for (const change of changes) for (const unit of unitsIn(change)) left.delete(unit);
    });
    return [...left];
  }

  placeOf(unit: number): Pick<Place, "segment" | "position"> | undefined {
    return this.#places.get(unit);
  }

  /** Those that hold anything that counts, in the order of the log. */
  segments(): number[] {
    const removed = this.#scanned?.removed ?? [];
    return this.#files.list().filter((segment) => !hasSegment(removed, segment));
  }

  /** The changes of a segment that can be read, in order; `onCommit` hears where each commit begins. */
  changes(
    segment: number,
    onCommit: (offset: number, changes: readonly Change[]) => void,
  ): Change[] {
    const found: Change[] = [];
    this.#eachCommit([segment], (changes, offset) => {
      onCommit(offset, changes);
      found.push(...changes);
    });
    return found;
  }

  #eachCommit(
    segments: readonly number[],
    visit: (changes: readonly Change[], offset: number) => void,
  ): void {
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
        if (changes !== undefined) visit(changes, frame.offset);
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

function unitsIn(change: Change): number[] {
  if (change.type === "deliver") {
    const own = change.targets.flatMap((target) => target.private?.unit ?? []);
    return [...change.shared.map(({ unit }) => unit), ...own];
  }
  return "extents" in change ? change.extents.map(({ unit }) => unit) : [];
}

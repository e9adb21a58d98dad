/**
 * Reads every byte of a log and says what in it is damaged. What the records mean together is not looked at
 * here (check.ts), nor which files are touched (check/damage-report.ts).
 */
import { ByteReader, MalformedError } from "../../../base/bytes.ts";
import { StoreError } from "../errors.ts";
import { decodeChanges } from "../records/change-codec.ts";
import type { Change } from "../records/change.ts";
import {
  decodeSegmentHeader,
  FRAME_HEADER_LENGTH,
  SEGMENT_HEADER_LENGTH,
} from "../records/format.ts";
import type { SegmentSet } from "../records/segment-set.ts";
import { NO_SEGMENTS, union } from "../records/segment-set.ts";
import type { UnitFrame } from "./frame.ts";
import type { SegmentFiles } from "./segment-files.ts";
import type { ScannedFrame, ScannedUnit } from "./segment-scan.ts";
import { scanSegment } from "./segment-scan.ts";

export type LogDamageKind =
  /** The first 32 bytes of a segment. */
  | "header"
  /** The file is that of another segment: renamed, or copied over this one. */
  | "misplaced"
  /** Bytes that belong to no whole record. */
  | "record"
  /** A record that fits its checksum and cannot be understood. */
  | "malformed"
  /** Bytes of a unit that do not fit their checksum. */
  | "data"
  /** A whole segment of which the index has units (check.ts), or that no record calls cleaned away (salvage). */
  | "missing"
  /** The end of a segment, as far as the index knows that there was more (check/index-view.ts). */
  | "cut";

/** No crash leaves these at the end of a log. */
const ALWAYS_DAMAGE: ReadonlySet<LogDamageKind> = new Set(["malformed", "header", "misplaced"]);

export interface LogDamage {
  readonly kind: LogDamageKind;
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
  /** "misplaced": which segment it is. */
  readonly number?: number;
  /** "data": whose bytes they are, and from where on in the unit. */
  readonly unit?: { readonly id: number; readonly position: number; readonly offset: number };
  /** "record", "cut": units that were written with it, so what the record said was probably about their files. */
  readonly writtenWith?: readonly number[];
  /** "record": inodes that it names, if its bytes can be understood although they are not what they were. */
  readonly inodes?: readonly number[];
}

export interface LogVisitor {
  unit(segment: number, frame: UnitFrame): void;
}

export interface ScannedLog {
  readonly segments: number;
  readonly bytes: number;
  readonly damage: readonly LogDamage[];
  /** All that cleaning has removed, as the log says. */
  readonly removed: SegmentSet;
  readonly ends: ReadonlyMap<number, SegmentEnd>;
}

export interface SegmentEnd {
  /** Behind the last whole frame. */
  readonly offset: number;
  /** Units at the end, or in what a crash left of it, behind which no whole commit stands. */
  readonly units: readonly number[];
}

export interface ScanOptions {
  /**
   * Whether the last segment may end in what a crash left. A store that was opened has none: its start has cut it off.
   */
  readonly mayBeTorn: boolean;
  readonly onProgress?: (part: number) => void;
}

export async function scanLog(
  files: Pick<SegmentFiles, "list" | "length" | "read">,
  visitor: LogVisitor,
  { mayBeTorn, onProgress = () => {} }: ScanOptions,
): Promise<ScannedLog> {
  const segments = files.list();
  const damage: LogDamage[] = [];
  // One for all: a new one of 64 MiB for each costs more than what is done with it.
  const lengthMax = Math.max(0, ...segments.map((segment) => files.length(segment)));
  let buffer = Buffer.allocUnsafeSlow(lengthMax);
  const ends = new Map<number, SegmentEnd>();
  let removed = NO_SEGMENTS;
  let bytes = 0;
  for (const [k, segment] of segments.entries()) {
    onProgress(k / segments.length);
    const length = files.length(segment);
    if (length > buffer.length) buffer = Buffer.allocUnsafeSlow(length);
    const content = buffer.subarray(0, files.read(segment, 0, buffer, 0, length));
    const isLast = mayBeTorn && k === segments.length - 1;
    const found = new SegmentDamage(segment, content, isLast, visitor);
    damage.push(...found.find());
    ends.set(segment, found.end);
    removed = union(removed, found.removed);
    bytes += length;
    // Others have their turn: what shows progress, and signals.
    await new Promise(setImmediate);
  }
  return { segments: segments.length, bytes, damage, removed, ends };
}

class SegmentDamage {
  readonly #segment: number;
  readonly #content: Buffer;
  readonly #isLast: boolean;
  readonly #visitor: LogVisitor;
  readonly #found: LogDamage[] = [];
  /** Units since the last commit, with where their frames end. */
  #batch: number[] = [];
  #batchEnd = 0;
  /** By where the batch ended. */
  readonly #batches = new Map<number, readonly number[]>();
  removed = NO_SEGMENTS;
  end: SegmentEnd = { offset: 0, units: [] };

  constructor(segment: number, content: Buffer, isLast: boolean, visitor: LogVisitor) {
    this.#segment = segment;
    this.#content = content;
    this.#isLast = isLast;
    this.#visitor = visitor;
  }

  find(): readonly LogDamage[] {
    const segment = this.#segment;
    const scan = scanSegment(this.#content, segment, false, (frame) => this.#visit(frame));
    this.#endBatch();
    if (scan.header === "newer") {
      throw new StoreError("STORE_FORMAT", `segment ${segment} has a newer format`);
    }
    if (scan.header === "bad" && !(this.#isLast && this.#content.length < SEGMENT_HEADER_LENGTH)) {
      const number = decodeSegmentHeader(this.#content)?.segment;
      this.#found.push(
        number === undefined
          ? { kind: "header", segment, offset: 0, length: SEGMENT_HEADER_LENGTH }
          : { kind: "misplaced", segment, offset: 0, length: this.#content.length, number },
      );
    }
    for (const { offset, length } of scan.bad) this.#addRecord(offset, length);
    const units = [...(this.#batches.get(scan.end) ?? [])];
    if (scan.tail !== "none") this.#addRecord(scan.end, this.#content.length - scan.end);
    // The rest is what a crash left: the next start takes it off.
    const isDamage = ({ offset, kind }: LogDamage): boolean =>
      !this.#isLast || ALWAYS_DAMAGE.has(kind) || offset < scan.durableEnd;
    const damage = this.#found.filter(isDamage).sort((a, b) => a.offset - b.offset);
    for (const found of this.#found) {
      if (!isDamage(found)) units.push(...(found.writtenWith ?? []));
    }
    this.end = { offset: scan.end, units };
    return damage;
  }

  #visit(frame: ScannedFrame): void {
    if (frame.kind === "unit") {
      this.#visitUnit(frame);
      return;
    }
    if (frame.offset !== this.#batchEnd) this.#endBatch();
    this.#batch = [];
    try {
      for (const change of decodeChanges(new ByteReader(frame.meta))) {
        if (change.type === "removed") this.removed = union(this.removed, change.segments);
      }
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      const length = FRAME_HEADER_LENGTH + frame.meta.length;
      const { offset } = frame;
      this.#found.push({ kind: "malformed", segment: this.#segment, offset, length });
    }
  }

  #visitUnit(frame: ScannedUnit): void {
    const { id } = frame.unit;
    // Behind a bad frame another batch begins.
    if (frame.offset !== this.#batchEnd) this.#endBatch();
    this.#batch.push(id);
    this.#batchEnd = frame.end;
    for (const { offset, length, position } of frame.badChunks) {
      const unit = { id, position: frame.position, offset };
      this.#found.push({ kind: "data", segment: this.#segment, offset: position, length, unit });
    }
    this.#visitor.unit(this.#segment, frame);
  }

  #endBatch(): void {
    if (this.#batch.length > 0) this.#batches.set(this.#batchEnd, this.#batch);
    this.#batch = [];
  }

  #addRecord(offset: number, length: number): void {
    this.#found.push({
      kind: "record",
      segment: this.#segment,
      offset,
      length,
      writtenWith: this.#batches.get(offset) ?? [],
      inodes: inodesOf(this.#content.subarray(offset, offset + length)),
    });
  }
}

/** Inodes that the changes of a damaged commit name; none if they cannot be read. */
function inodesOf(bytes: Buffer): number[] {
  if (bytes.length <= FRAME_HEADER_LENGTH) return [];
  let changes: Change[];
  try {
    changes = decodeChanges(new ByteReader(Buffer.from(bytes.subarray(FRAME_HEADER_LENGTH))));
  } catch {
    return [];
  }
  const inodes = new Set<number>();
  for (const change of changes) {
    if (change.type === "deliver") for (const { ino } of change.targets) inodes.add(ino);
    else if ("ino" in change) inodes.add(change.ino);
  }
  return [...inodes];
}

/**
 * Cleans one batch of segments, in steps that each leave a store as good as any: what is current is written again
 * at the log's end, and once that is durable, a record says that the segments may go, and once that is, they do.
 *
 *     step ... step -> durable -> "removed" -> durable -> unlink
 *
 * Until the record, the batch can be given up at any time: then units have moved for nothing. After it, the
 * next start ends what was begun (opening.ts).
 *
 * The victims lie wholly before the position that the index covers, so that no start reads a log with a gap
 * unless it has lost its index. Their readers are synchronous, so that nobody reads a file that is being removed.
 */
import { StoreError } from "../errors.ts";
import type { Change } from "../records/change.ts";
import type { Chunks } from "../records/chunks.ts";
import { UNIT_LENGTH_MAX } from "../records/format.ts";
import { placeOf } from "../records/place.ts";
import { segmentSet, union } from "../records/segment-set.ts";
import { applyUnit } from "../state/apply.ts";
import { referencedParts } from "../state/references.ts";
import { Unit } from "../state/unit.ts";
import { CurrentRecords } from "./current.ts";
import { FrameCursor } from "./frame-cursor.ts";
import type { ReclaimHost } from "./host.ts";
import { MapSeries, weightOf } from "./snapshot.ts";
import { Survivors } from "./survivors.ts";
import { trim } from "./trim.ts";

/** About how much of either one write to the log carries. */
const UNIT_BYTES_AT_ONCE = 256 * 1024;
const RECORD_BYTES_AT_ONCE = 64 * 1024;

interface Move {
  readonly id: number;
  readonly chunks: Chunks;
  readonly parts: readonly Buffer[];
}

export class Cleaning {
  readonly victims: readonly number[];
  readonly #host: ReclaimHost;
  readonly #records: CurrentRecords;
  #left: number[];
  #cursor: FrameCursor | undefined;
  #segment: number | undefined;
  /** The rest of a commit that is being looked at. */
  #commit: Iterator<void> | undefined;
  #moves: Move[] = [];
  #movedBytes = 0;
  /** What the moves were read into, until they are written. */
  readonly #data = Buffer.allocUnsafeSlow(UNIT_BYTES_AT_ONCE + UNIT_LENGTH_MAX);
  #dataLength = 0;
  /** Bytes of the victims that were looked at. */
  scannedBytes = 0;
  /** Bytes that were written again. */
  unitBytes = 0;
  recordBytes = 0;

  constructor(host: ReclaimHost, victims: readonly number[]) {
    this.victims = victims;
    this.#host = host;
    this.#left = [...victims];
    const survivors = new Survivors(host.state.segments.values(), new Set(victims));
    this.#records = new CurrentRecords(host.state, survivors, host.stepLimits.extentsMax);
  }

  /** The segment that is being read. */
  get segment(): number | undefined {
    return this.#segment;
  }

  /**
   * Works for about so long, in one turn. Returns false when there is nothing left to read. Throws StoreError; then
   * the batch is to be given up.
   */
  step(endMs: number): boolean {
    do {
      if (this.#commit !== undefined) {
        if (this.#commit.next().done === true) this.#commit = undefined;
        continue;
      }
      this.#cursor ??= this.#nextCursor();
      if (this.#cursor === undefined) break;
      const from = this.#cursor.offset;
      if (!this.#frame(this.#cursor)) this.#cursor = undefined;
      else this.scannedBytes += this.#cursor.offset - from;
    } while (performance.now() < endMs);
    this.#write();
    const { state } = this.#host;
    if (state.full) state.sweep();
    return this.#commit !== undefined || this.#cursor !== undefined || this.#left.length > 0;
  }

  /** A victim in which the index has referenced bytes still, though everything was read: one of the two is wrong. */
  notEmptied(): number | undefined {
    const { segments } = this.#host.state;
    return this.victims.find((segment) => (segments.get(segment)?.liveBytes ?? 0) > 0);
  }

  /** Everything was read and written again, and is durable: the segments may go. */
  recordRemoval(): void {
    const { state } = this.#host;
    const { nextIno, nextUnit, nextPending } = state.counters;
    const segments = union(state.removedSegments, segmentSet(this.victims));
    // This alone frees: what was moved before it has used room, and may have done so for nothing.
    this.#host.commit([{ type: "removed", segments, nextIno, nextUnit, nextPending }], "clean");
  }

  #nextCursor(): FrameCursor | undefined {
    this.#segment = this.#left.shift();
    if (this.#segment === undefined) return undefined;
    return new FrameCursor(this.#host.files, this.#segment);
  }

  #frame(cursor: FrameCursor): boolean {
    const frame = cursor.next();
    if (frame === undefined) return false;
    if (frame.kind === "unit") {
      this.#unit(cursor, frame);
      if (this.#dataLength >= UNIT_BYTES_AT_ONCE) this.#writeUnits();
      return true;
    }
    this.#commit = this.#changes(frame.changes, cursor.segment, frame.offset);
    return true;
  }

  /** In small pieces: one commit may name very many mailboxes. */
  *#changes(changes: readonly Change[], segment: number, offset: number): Generator<void> {
    const place = placeOf(segment, offset);
    for (const change of changes) {
      if (change.type === "deliver") {
        for (const { ino } of change.targets) {
          this.#records.addInode(ino, place);
          yield* this.#large();
          yield this.#writeFew();
        }
      } else {
        this.#records.add(change, segment, place);
        yield* this.#large();
        yield this.#writeFew();
      }
    }
  }

  /** Others may have their turn between two commits of a large snapshot. */
  *#large(): Generator<void> {
    const { state, stepLimits } = this.#host;
    for (let ino = this.#records.takeLarge(); ino !== undefined; ino = this.#records.takeLarge()) {
      const series = new MapSeries(state, ino, stepLimits.extentsMax);
      for (let changes = series.next(); changes !== undefined; changes = series.next()) {
        this.#host.commit(changes, "rewrite");
        series.wrote(changes);
        this.recordBytes += weightOf(changes);
        yield;
      }
    }
  }

  #writeFew(): void {
    if (this.#records.weight >= RECORD_BYTES_AT_ONCE) this.#writeRecords();
  }

  #unit(cursor: FrameCursor, frame: { id: number; position: number; dataLength: number }): void {
    const { state } = this.#host;
    const unit = state.unit(frame.id);
    if (unit?.segment !== cursor.segment || unit.position !== frame.position) return;
    const wanted = state.unlinked.has(unit.id) ? [0, unit.length] : referencedParts(unit.runs);
    const data = this.#data.subarray(this.#dataLength, this.#dataLength + frame.dataLength);
    cursor.readData(frame.position, data);
    const trimmed = trim(unit.chunks, wanted, data);
    if (trimmed === undefined) {
      throw new StoreError(
        "STORE_DAMAGED",
        `unit ${unit.id}: the bytes of segment ${cursor.segment} from ${frame.position} on do not fit their checksum`,
      );
    }
    this.#moves.push({ id: unit.id, ...trimmed });
    this.#dataLength += frame.dataLength;
    for (const part of trimmed.parts) this.#movedBytes += part.length;
  }

  #write(): void {
    this.#writeUnits();
    this.#writeRecords();
  }

  /** Nobody gets a turn between a unit's look-up and its move, so what moves is referenced. */
  #writeUnits(): void {
    if (this.#moves.length === 0) return;
    const moves = this.#moves;
    this.unitBytes += this.#movedBytes;
    this.#moves = [];
    this.#movedBytes = 0;
    this.#dataLength = 0;
    const { log, state } = this.#host;
    const moved = moves.map(({ id, chunks, parts }) => {
      const place = log.queueUnit(id, chunks, parts);
      return new Unit(id, place.segment, place.offset, chunks);
    });
    log.flush("rewrite");
    for (const unit of moved) applyUnit(state, unit);
    this.#host.changed();
  }

  #writeRecords(): void {
    this.recordBytes += this.#records.weight;
    const changes = this.#records.take();
    if (changes.length > 0) this.#host.commit(changes, "rewrite");
  }
}

/**
 * A held segment's bytes, as many as are whole: read, checked frame by frame, and what could not be read or is
 * damaged named.
 */
import * as fs from "node:fs";
import type { BadRange } from "../store/log/segment-scan.ts";
import { scanSegment } from "../store/log/segment-scan.ts";
import { SEGMENT_HEADER_LENGTH, SEGMENT_LENGTH, ZEROS_AHEAD } from "../store/records/format.ts";
import { BackupError, backupIoError } from "./errors.ts";
import type { HeldSegment } from "./held-log.ts";

/** What a disk reads as one; behind a read error each is tried by itself. */
const BLOCK_LENGTH = 4096;
const PIECE_LENGTH = 4 * 1024 * 1024;
/** A frame of the log's end may be read while it is written. Then it is whole a moment later. */
const READ_AGAIN_MAX = 5;

export interface SegmentBytes {
  /** The segment up to the end of its last whole frame; of a sealed one all that there is. */
  readonly bytes: Buffer;
  /** Damage: frames that are not whole, chunks that do not fit, blocks that cannot be read. */
  readonly damage: readonly Damage[];
}

export interface Damage extends BadRange {
  readonly kind: "header" | "frame" | "data" | "unreadable";
}

/** Holds the bytes of one segment at a time: they are valid until the next one is read. */
export class SegmentBytesReader {
  #buffer = Buffer.allocUnsafeSlow(SEGMENT_LENGTH + 2 * ZEROS_AHEAD);

  /** Undefined for a last segment that has no header yet. */
  read({ segment, fd, isLast, lengthMax }: HeldSegment): SegmentBytes | undefined {
    const unreadable: BadRange[] = [];
    const file = { segment, fd, lengthMax };
    let length = this.#fill(file, 0, unreadable);
    if (isLast && length < SEGMENT_HEADER_LENGTH) return undefined;
    for (let again = 0; ; again++) {
      const bytes = this.#buffer.subarray(0, length);
      const data: Damage[] = [];
      const scan = scanSegment(bytes, segment, isLast, (frame) => {
        if (frame.kind === "commit") return;
        for (const chunk of frame.badChunks) {
          data.push({ kind: "data", offset: chunk.position, length: chunk.length });
        }
      });
      if (scan.header === "newer") {
        throw new BackupError("BACKUP_SOURCE", `segment ${segment} has a newer format`);
      }
      const first = Math.min(scan.bad[0]?.offset ?? length, data[0]?.offset ?? length);
      if (isLast && first < length && again < READ_AGAIN_MAX) {
        length = this.#fill(file, first, unreadable);
        continue;
      }
      const damage: Damage[] = unreadable.map((range) => ({ kind: "unreadable", ...range }));
      if (scan.header === "bad") {
        damage.push({ kind: "header", offset: 0, length: SEGMENT_HEADER_LENGTH });
      }
      for (const range of scan.bad) damage.push({ kind: "frame", ...range });
      damage.push(...data);
      if (!isLast && scan.tail !== "none") {
        damage.push({ kind: "frame", offset: scan.end, length: length - scan.end });
      }
      return { bytes: isLast ? bytes.subarray(0, scan.end) : bytes, damage };
    }
  }

  /** Reads the segment from an offset on, a multiple of a block or not; returns its length. */
  #fill(
    { segment, fd, lengthMax }: Omit<HeldSegment, "isLast">,
    from: number,
    unreadable: BadRange[],
  ): number {
    let length: number;
    try {
      length = Math.min(fs.fstatSync(fd).size, lengthMax);
    } catch (error) {
      throw backupIoError(`cannot look at segment ${segment}`, error);
    }
    if (length > this.#buffer.length) {
      const grown = Buffer.allocUnsafeSlow(length + ZEROS_AHEAD);
      this.#buffer.copy(grown, 0, 0, from);
      this.#buffer = grown;
    }
    for (let at = from; at < length;) {
      const wanted = Math.min(PIECE_LENGTH, length - at);
      const count = this.#readPiece(segment, fd, at, wanted, unreadable);
      // Zeros behind the last frame were cut off meanwhile.
      if (count === 0) return at;
      at += count;
    }
    return length;
  }

  #readPiece(
    segment: number,
    fd: number,
    at: number,
    length: number,
    unreadable: BadRange[],
  ): number {
    try {
      return fs.readSync(fd, this.#buffer, at, length, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EIO") {
        throw backupIoError(`cannot read segment ${segment} at ${at}`, error);
      }
    }
    const block = Math.min(BLOCK_LENGTH - (at % BLOCK_LENGTH), length);
    try {
      return fs.readSync(fd, this.#buffer, at, block, at);
    } catch {
      this.#buffer.fill(0, at, at + block);
      unreadable.push({ offset: at, length: block });
      return block;
    }
  }
}

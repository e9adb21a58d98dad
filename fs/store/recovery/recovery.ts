/**
 * Brings the state from where the index ends to the end of the log: the same apply() as live. The torn
 * tail of the last segment is cut off; a bad frame anywhere else is damage, and so is one in the last segment where
 * a later commit says that all was on stable storage.
 */
import { StoreError } from "../errors.ts";
import { changesOf } from "../log/changes-of.ts";
import type { Frame } from "../log/frame.ts";
import type { LogPosition } from "../log/log.ts";
import type { SegmentFiles } from "../log/segment-files.ts";
import type { ReadOptions } from "../log/segment-reader.ts";
import { badEndAt, checkSegmentHeader, readFrames } from "../log/segment-reader.ts";
import { SEGMENT_HEADER_LENGTH } from "../records/format.ts";
import { apply, applyUnit } from "../state/apply.ts";
import type { State } from "../state/state.ts";
import { Unit } from "../state/unit.ts";

export interface Recovered {
  /** The end of the log. */
  readonly end: LogPosition;
  /** Bytes that were read. */
  readonly bytes: number;
  /** What was cut off the last segment; 0 after a clean end. */
  readonly tornBytes: number;
  /** Where they are kept, if whole commits were among them. */
  readonly savedTail: string | undefined;
}

export async function replay(
  state: State,
  files: SegmentFiles,
  from: LogPosition | undefined,
  pieces: Pieces,
): Promise<Recovered> {
  const segments = files.list().filter((segment) => segment >= (from?.segment ?? 0));
  checkWhole(files, segments, from);
  let end: LogPosition = from ?? { segment: 0, offset: 0 };
  let bytes = 0;
  let tornBytes = 0;
  let savedTail: string | undefined;
  for (const [k, segment] of segments.entries()) {
    const last = k === segments.length - 1;
    const start = from !== undefined && k === 0 ? from.offset : SEGMENT_HEADER_LENGTH;
    const visit = (frame: Frame): void => replayFrame(state, segment, frame);
    const read = await readInPieces(files, segment, { start, last }, pieces, visit);
    bytes += read.end - start;
    ({ tornBytes, savedTail } = read);
    end = { segment, offset: read.end };
  }
  return { end, bytes, tornBytes, savedTail };
}

export interface ReadSegment {
  /** Where its frames end. */
  readonly end: number;
  readonly tornBytes: number;
  readonly savedTail: string | undefined;
}

export interface Pieces {
  /** Asked behind each frame: whether to pause there. */
  isEnough(): boolean;
  /** Behind each piece, with the bytes read of it: the place for a checkpoint. What stands there is durable. */
  after(end: LogPosition, bytes: number): Promise<void>;
}

interface Reading {
  readonly start: number;
  readonly last: boolean;
  readonly checkData?: boolean;
}

/**
 * Visits the frames of a segment with pauses: one segment can change more rows than there is memory for. The torn tail
 * of the last segment is cut off; anything else that does not fit is damage.
 */
export async function readInPieces(
  files: SegmentFiles,
  segment: number,
  { start, last, checkData = true }: Reading,
  pieces: Pieces,
  visit: (frame: Frame) => void,
): Promise<ReadSegment> {
  const isEnough = (): boolean => pieces.isEnough();
  let ended: ReadSegment | undefined;
  let from = start;
  for (;;) {
    const isEnded = ended !== undefined;
    const piece = { start: from, last: last && !isEnded, checkData: checkData && !isEnded };
    const read = readPiece(files, segment, { ...piece, isEnough }, visit);
    // A checkpoint in the last segment must not cover what a power cut can still take away.
    if (last && read.isPart) ended ??= readPiece(files, segment, { start, last }, () => {});
    await pieces.after({ segment, offset: read.end }, read.end - from);
    if (!read.isPart) return ended ?? read;
    from = read.end;
  }
}

function readPiece(
  files: SegmentFiles,
  segment: number,
  { start, last, ...options }: Reading & ReadOptions,
  visit: (frame: Frame) => void,
): ReadSegment & { isPart: boolean } {
  // Of a segment that the index has frames of, the header says nothing new: fsck tells of it.
  if (!checkSegmentHeader(files, segment) && start <= SEGMENT_HEADER_LENGTH) {
    throw new StoreError("STORE_DAMAGED", `segment ${segment} has no valid header`);
  }
  const read = readFrames(files, segment, start, visit, options);
  if (read.isPart) return { end: read.offset, tornBytes: 0, savedTail: undefined, isPart: true };
  let tornBytes = 0;
  let savedTail: string | undefined;
  if (read.torn !== undefined) {
    if (!last) throw new StoreError("STORE_DAMAGED", `segment ${segment}: ${read.torn}`);
    const { isDamage, commitFollows } = badEndAt(files, segment, read.offset);
    if (isDamage) {
      const why = "where later records say that all was on stable storage";
      throw new StoreError("STORE_DAMAGED", `segment ${segment}: ${read.torn}, ${why}`);
    }
    tornBytes = files.length(segment) - read.offset;
    if (commitFollows) {
      savedTail = files.saveTail(segment, read.offset);
      process.emitWarning(
        `segment ${segment}: ${read.torn}, and whole commits behind it, as a crash of the machine leaves them. ` +
          `The ${tornBytes} bytes from there on are taken off the log and kept in ${savedTail}`,
      );
    }
  }
  if (last) {
    makeEndDurable(files, segment, start, read.offset);
  } else if (read.offset < files.length(segment)) {
    throw new StoreError("STORE_DAMAGED", `segment ${segment} ends in zeros`);
  }
  return { end: read.offset, tornBytes, savedTail, isPart: false };
}

/** What was found is built upon from now on, so a later power cut must not take it away. */
function makeEndDurable(files: SegmentFiles, segment: number, start: number, end: number): void {
  try {
    files.truncate(segment, end);
    files.renew(segment, start, end);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const message =
      `the end of the log, ${files.path(segment)}, cannot be made durable: ${error.message}. ` +
      "Nothing is lost by that: start again when the disk can be written";
    throw new StoreError(error.code, message, { cause: error });
  }
}

/**
 * Segments follow each other, and none ends before what the index has of it. An index may be older than the end of
 * segments that cleaning took away: it is made anew, and that tells them from segments that were lost. The last segment is
 * never cleaned, so a log that ends before the index does was cut.
 */
function checkWhole(
  files: SegmentFiles,
  segments: readonly number[],
  from: LogPosition | undefined,
): void {
  let expected = from?.segment ?? 1;
  for (const segment of segments) {
    if (segment !== expected) break;
    expected++;
  }
  if (segments.length === 0 || expected <= (segments.at(-1) as number)) {
    const mayBeCleaned = from !== undefined && segments.length > 0;
    throw mayBeCleaned
      ? new StoreError(
          "INDEX_DAMAGED",
          `the index ends in segment ${from.segment}, and the log has no segment ${expected}`,
        )
      : new StoreError("STORE_DAMAGED", `the log has no segment ${expected}`);
  }
  if (from === undefined) return;
  const length = files.length(from.segment);
  if (length < from.offset) {
    throw new StoreError(
      "STORE_DAMAGED",
      `segment ${from.segment} has ${length} bytes, and the index knows ${from.offset} of it: the log was cut`,
    );
  }
}

function replayFrame(state: State, segment: number, frame: Frame): void {
  state.moveTo(segment, frame.offset);
  if (frame.kind === "unit") {
    applyUnit(state, new Unit(frame.unit.id, segment, frame.position, frame.unit.chunks));
  } else {
    for (const change of changesOf(segment, frame)) apply(state, change);
  }
  if (state.full) state.sweep();
}

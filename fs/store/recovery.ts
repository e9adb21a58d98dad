/**
 * Brings the state from where the index ends to the end of the log: the same apply() as live. The torn
 * tail of the last segment is cut off; a bad frame anywhere else is damage.
 */
import { ByteReader, MalformedError } from "../../base/bytes.ts";
import { apply, applyUnit } from "./apply.ts";
import { decodeChanges } from "./change-codec.ts";
import { StoreError } from "./errors.ts";
import { SEGMENT_HEADER_LENGTH } from "./format.ts";
import type { LogPosition } from "./log.ts";
import type { SegmentFiles } from "./segment-files.ts";
import type { Frame } from "./segment-reader.ts";
import { checkSegmentHeader, readFrames } from "./segment-reader.ts";
import type { State } from "./state.ts";
import { Unit } from "./unit.ts";

export interface Recovered {
  /** The end of the log. */
  readonly end: LogPosition;
  /** Bytes that were read. */
  readonly bytes: number;
  /** What was cut off the last segment; 0 after a clean end. */
  readonly tornBytes: number;
}

/** `afterSegment` runs behind each segment with the bytes read of it: the place for a checkpoint in a long recovery. */
export async function replay(
  state: State,
  files: SegmentFiles,
  from: LogPosition | undefined,
  afterSegment: (end: LogPosition, bytes: number) => Promise<void>,
): Promise<Recovered> {
  const segments = files.list().filter((segment) => segment >= (from?.segment ?? 0));
  if (from !== undefined && segments[0] !== from.segment) {
    throw new StoreError("STORE_DAMAGED", `the log has no segment ${from.segment}`);
  }
  let end: LogPosition = from ?? { segment: 0, offset: 0 };
  let bytes = 0;
  let tornBytes = 0;
  for (const [k, segment] of segments.entries()) {
    const last = k === segments.length - 1;
    const start = from !== undefined && k === 0 ? from.offset : SEGMENT_HEADER_LENGTH;
    if (!checkSegmentHeader(files, segment)) {
      throw new StoreError("STORE_DAMAGED", `segment ${segment} has no valid header`);
    }
    const read = readFrames(files, segment, start, (frame) => replayFrame(state, segment, frame));
    bytes += read.offset - start;
    if (read.torn !== undefined) {
      if (!last) throw new StoreError("STORE_DAMAGED", `segment ${segment}: ${read.torn}`);
      tornBytes = files.length(segment) - read.offset;
    }
    if (last) {
      files.truncate(segment, read.offset);
      files.syncNow(segment);
    } else if (read.offset < files.length(segment)) {
      throw new StoreError("STORE_DAMAGED", `segment ${segment} ends in zeros`);
    }
    end = { segment, offset: read.offset };
    await afterSegment(end, read.offset - start);
  }
  return { end, bytes, tornBytes };
}

function replayFrame(state: State, segment: number, frame: Frame): void {
  if (frame.kind === "unit") {
    applyUnit(state, new Unit(frame.unit.id, segment, frame.position, frame.unit.chunks));
  } else {
    let changes;
    try {
      changes = decodeChanges(new ByteReader(Buffer.from(frame.meta)));
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      const where = `segment ${segment}, offset ${frame.offset}`;
      throw new StoreError("STORE_DAMAGED", `${where}: ${error.message}`, { cause: error });
    }
    for (const change of changes) apply(state, change);
  }
  if (state.full) state.sweep();
}

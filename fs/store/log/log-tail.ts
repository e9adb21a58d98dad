/**
 * The end of the log whose sync failed, on its way to a new segment.
 *
 *     read back and checked -> the next segment with it, synced, under another name -> renamed -> directory synced
 *     -> what stood there before is cut off, through a new descriptor
 *
 * The rename is what counts: the new segment's header says where the one before it ends, so a crash between any two
 * of these steps leaves either the log as it was or the log as it will be. A failed fsync is never repeated: the
 * system may have dropped the pages that it could not write, and a second call would say that all is well.
 */
import { InvariantError } from "../../../base/assert.ts";
import { StoreError } from "../errors.ts";
import type { Chunks } from "../records/chunks.ts";
import { SEGMENT_HEADER_LENGTH } from "../records/format.ts";
import { changesOf } from "./changes-of.ts";
import type { SegmentFiles } from "./segment-files.ts";
import { readFrames } from "./segment-reader.ts";

export interface MovedUnit {
  readonly id: number;
  readonly chunks: Chunks;
  /** Positions of its data. */
  readonly from: number;
  readonly to: number;
}

/** A commit that made an inode, or is a snapshot of it. */
export interface MovedInode {
  readonly ino: number;
  /** Offsets of the commit. */
  readonly from: number;
  readonly to: number;
}

export interface MovedTail {
  readonly segment: number;
  readonly to: number;
  /** Behind the last frame of the new segment. */
  readonly end: number;
  readonly units: readonly MovedUnit[];
  readonly inodes: readonly MovedInode[];
}

/**
 * Moves the frames between two offsets of the last segment into the next one. Throws StoreError: then it may be
 * tried again; InvariantError: what the file has there now is not what was written, so that the state in
 * memory is ahead of all that can still be made durable.
 */
export function moveTail(
  files: SegmentFiles,
  segment: number,
  from: number,
  end: number,
): MovedTail {
  const frames = Buffer.allocUnsafe(end - from);
  const count = files.read(segment, from, frames, 0, frames.length);
  const moved = contentOf(frames.subarray(0, count), from);
  if (count < frames.length || moved === undefined) {
    throw new InvariantError(
      `segment ${segment} cannot be synced, and its bytes from ${from} to ${end} are no longer what was written: ` +
        "a new start goes on from what is durable",
    );
  }
  const to = segment + 1;
  files.create(to, { previousLength: from, frames });
  return { segment, to, end: SEGMENT_HEADER_LENGTH + frames.length, ...moved };
}

/** undefined when the bytes are not whole frames. */
function contentOf(frames: Buffer, from: number): Pick<MovedTail, "units" | "inodes"> | undefined {
  const units: MovedUnit[] = [];
  const inodes: MovedInode[] = [];
  const source = {
    length: () => frames.length,
    read: (_: number, position: number, target: Buffer, start: number, length: number) =>
      frames.copy(target, start, position, position + length),
  };
  const shift = SEGMENT_HEADER_LENGTH;
  try {
    const read = readFrames(source, 0, 0, (frame) => {
      if (frame.kind === "unit") {
        const { id, chunks } = frame.unit;
        units.push({ id, chunks, from: from + frame.position, to: shift + frame.position });
        return;
      }
      const { offset } = frame;
      for (const change of changesOf(0, frame)) {
        if (change.type !== "inode") continue;
        inodes.push({ ino: change.ino, from: from + offset, to: shift + offset });
      }
    });
    return read.torn === undefined && read.offset === frames.length ? { units, inodes } : undefined;
  } catch (error) {
    if (error instanceof StoreError) return undefined;
    throw error;
  }
}

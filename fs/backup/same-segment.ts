/** Whether the copy of a sealed segment is that of this one, told by its length, its header and its last frames. */
import * as fs from "node:fs";
import { SEGMENT_HEADER_LENGTH } from "../store/records/format.ts";
import { backupIoError } from "./errors.ts";
import type { HeldSegment } from "./held-log.ts";
import type { SegmentCopy } from "./place.ts";
import { copyPath } from "./place.ts";

/** Commits carry times: two histories that went apart differ in any frames that are not the same ones. */
const COMPARED_LENGTH = 64 * 1024;

export type Sameness = "same" | "copyGone" | "differs";

export function compareSegment(held: HeldSegment, place: string, copy: SegmentCopy): Sameness {
  const path = copyPath(place, copy);
  let fd: number;
  try {
    fd = fs.openSync(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "copyGone";
    throw backupIoError(`cannot open ${path}`, error);
  }
  try {
    if (fs.fstatSync(fd).size !== copy.length) return "copyGone";
    const length = Math.min(fs.fstatSync(held.fd).size, held.lengthMax);
    if (held.isLast || length !== copy.length) return "differs";
    const tail = Math.max(0, copy.length - COMPARED_LENGTH);
    const same =
      readAt(fd, 0, SEGMENT_HEADER_LENGTH).equals(readAt(held.fd, 0, SEGMENT_HEADER_LENGTH)) &&
      readAt(fd, tail, copy.length - tail).equals(readAt(held.fd, tail, copy.length - tail));
    return same ? "same" : "differs";
  } catch (error) {
    // Reading the whole segment says what cannot be read of it.
    if ((error as NodeJS.ErrnoException).code === "EIO") return "differs";
    throw backupIoError(`cannot compare ${path}`, error);
  } finally {
    fs.closeSync(fd);
  }
}

function readAt(fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, fs.readSync(fd, bytes, 0, length, position));
}

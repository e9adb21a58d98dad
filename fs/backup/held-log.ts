/**
 * The segments of a store's log as they were at one moment, held by descriptors while the store goes on.
 *
 * Sealed segments do not change, but cleaning removes them after it has written what is current in them to later
 * ones. All that a listing shows, taken together, is the log up to the end of its last segment, whatever is removed
 * afterwards. A listing is not one moment, though: of a segment that is made and one that goes away meanwhile it may
 * show neither. So the log is listed until two listings in a row agree, between which every segment was opened.
 */
import * as fs from "node:fs";
import { decodeSegmentHeader, SEGMENT_HEADER_LENGTH } from "../store/records/format.ts";
import { logDirectory, segmentNumber, segmentPath } from "../store/paths.ts";
import { BackupError, backupIoError } from "./errors.ts";

/** A log changes its segments every half second at the most. */
const LISTINGS_MAX = 100;

export interface HeldSegment {
  readonly segment: number;
  readonly fd: number;
  /** Whether it was the one that the log was appended to when it was listed. */
  readonly isLast: boolean;
  /**
   * Where it ends, whatever stands behind: of one that could not be synced the end is in the one behind it, and may not be
   * cut off yet (fs/store/log/log-tail.ts).
   */
  readonly lengthMax: number;
}

export interface HeldLog {
  readonly segments: readonly HeldSegment[];
  close(): void;
}

export function holdLog(store: string): HeldLog {
  const open = new Map<number, number>();
  const close = (): void => {
    for (const fd of open.values()) fs.closeSync(fd);
    open.clear();
  };
  try {
    let before = listSegments(store);
    for (let count = 0; count < LISTINGS_MAX; count++) {
      const gone = openAll(store, before, open);
      const after = listSegments(store);
      const last = after.at(-1);
      if (last === undefined) {
        throw new BackupError("BACKUP_SOURCE", `${logDirectory(store)} has no segment`);
      }
      if (!gone && after.join() === before.join() && isCurrent(store, last, open)) {
        const ended = last - 1;
        const endedAt = previousLength(open.get(last) as number) || Infinity;
        const segments = after.map((segment) => ({
          segment,
          fd: open.get(segment) as number,
          isLast: segment === last,
          lengthMax: segment === ended ? endedAt : Infinity,
        }));
        return { segments, close };
      }
      before = after;
    }
  } catch (error) {
    close();
    throw error;
  }
  close();
  throw new BackupError(
    "BACKUP_SOURCE",
    `${logDirectory(store)} changed during each of ${LISTINGS_MAX} listings`,
  );
}

/** What the header says of the segment before; 0: it was not cut. */
function previousLength(fd: number): number {
  const bytes = Buffer.alloc(SEGMENT_HEADER_LENGTH);
  try {
    fs.readSync(fd, bytes, 0, bytes.length, 0);
  } catch {
    // Whoever copies it tells of this.
    return 0;
  }
  return decodeSegmentHeader(bytes)?.previousLength ?? 0;
}

/** Opens what is not open yet; whether one of them is not there any more. */
function openAll(store: string, segments: readonly number[], open: Map<number, number>): boolean {
  let gone = false;
  for (const segment of segments) {
    if (open.has(segment)) continue;
    const path = segmentPath(store, segment);
    try {
      open.set(segment, fs.openSync(path, "r"));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") gone = true;
      else if (code === "EMFILE") throw tooManyFiles(segments.length, error);
      else throw backupIoError(`cannot open ${path}`, error);
    }
  }
  return gone;
}

/** A start of the store can take away a last segment that was just made, and make it again. */
function isCurrent(store: string, segment: number, open: Map<number, number>): boolean {
  const fd = open.get(segment) as number;
  if (
    fs.statSync(segmentPath(store, segment), { throwIfNoEntry: false })?.ino ===
    fs.fstatSync(fd).ino
  ) {
    return true;
  }
  fs.closeSync(fd);
  open.delete(segment);
  return false;
}

function tooManyFiles(count: number, error: unknown): BackupError {
  return new BackupError(
    "BACKUP_SOURCE",
    `the log has ${count} segments, more than this process may have open (ulimit -n): allow ${count + 100}`,
    { cause: error },
  );
}

function listSegments(store: string): number[] {
  const directory = logDirectory(store);
  let names: string[];
  try {
    names = fs.readdirSync(directory);
  } catch (error) {
    throw backupIoError(`cannot read ${directory}`, error);
  }
  return names.flatMap((name) => segmentNumber(name) ?? []).sort((a, b) => a - b);
}

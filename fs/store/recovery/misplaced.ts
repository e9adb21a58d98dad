/**
 * Files of the log that are not under their own name: renamed, or copied over one another. The header says which segment
 * a file is. Nothing may be cut off such a log, for the frames behind its last ones need not be torn, but another's.
 */
import { StoreError } from "../errors.ts";
import type { SegmentFiles } from "../log/segment-files.ts";
import { decodeSegmentHeader, SEGMENT_HEADER_LENGTH } from "../records/format.ts";

/** The number that a segment's header says; undefined when it has none that can be read. */
export function numberIn(files: Pick<SegmentFiles, "read">, segment: number): number | undefined {
  const bytes = Buffer.alloc(SEGMENT_HEADER_LENGTH);
  const count = files.read(segment, 0, bytes, 0, bytes.length);
  return decodeSegmentHeader(bytes.subarray(0, count))?.segment;
}

/** Before a start changes anything. Throws STORE_DAMAGED. */
export function refuseMisplaced(files: SegmentFiles): void {
  for (const segment of files.list()) {
    const number = numberIn(files, segment);
    // A log may have more segments than a process can have open.
    files.close(segment);
    if (number === undefined || number === segment) continue;
    throw new StoreError(
      "STORE_DAMAGED",
      `${files.path(segment)} is segment ${number}, as its header says: it was renamed or copied over another one`,
    );
  }
}

/** Which failures of a read tell of the segment that was read, and not of the machine. */
import { StoreError } from "../errors.ts";

/** What the disk or its file system says of bytes that it has lost, or of a file. */
const OF_THE_SEGMENT: ReadonlySet<string> = new Set([
  "EIO",
  "ENODATA",
  "EBADMSG",
  "EUCLEAN",
  "EILSEQ",
  "ENOENT",
]);

/** Runs a read of a segment; throws STORE_DAMAGED instead of STORE_IO when another read of it would fail as well. */
export function readingSegment<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== "STORE_IO") throw error;
    const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
    if (code === undefined || !OF_THE_SEGMENT.has(code)) throw error;
    throw new StoreError("STORE_DAMAGED", error.message, { cause: error });
  }
}

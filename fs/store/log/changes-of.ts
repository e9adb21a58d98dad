/** What a commit's frame says. */
import { ByteReader, MalformedError } from "../../../base/bytes.ts";
import { StoreError } from "../errors.ts";
import { decodeChanges } from "../records/change-codec.ts";
import type { Change } from "../records/change.ts";
import type { CommitFrame } from "./frame.ts";

/** Throws STORE_DAMAGED. */
export function changesOf(segment: number, frame: CommitFrame): Change[] {
  try {
    return decodeChanges(new ByteReader(Buffer.from(frame.meta)));
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    const where = `segment ${segment}, offset ${frame.offset}`;
    throw new StoreError("STORE_DAMAGED", `${where}: ${error.message}`, { cause: error });
  }
}

/**
 * Who may use which part of the disk's last room.
 *
 *     | claim   | what                                                        | on a full disk           |
 *     | ------- | ----------------------------------------------------------- | ------------------------ |
 *     | grow    | units, deliveries, new names, longer files, attributes      | refused                  |
 *     | rewrite | bytes rewritten or moved with hardly any new ones; renames; | half of the reserve      |
 *     |         | live bytes moved out of a segment                           |                          |
 *     | free    | removing, truncating, showing what pends                    | all but an eighth of it  |
 *     | clean   | the record that segments may go; the index, when cleaning   | all of it                |
 *     |         | waits for it; a start                                       |                          |
 *
 * What is free comes to an end by itself, since nothing new is made on a full disk. What is rewritten need not. Cleaning
 * has a part of its own, for on a disk that is full of mail nothing but cleaning makes room again.
 */
import type { Change } from "../records/change.ts";
import { isOffcut } from "../records/offcut.ts";

export type Claim = "grow" | "rewrite" | "free" | "clean";

export interface Room {
  /** Throws STORE_FULL for a change that has to wait until the reserve is whole again. */
  admit(claim: Claim): void;
  /** Gives some of the reserve back to the disk, for a write of `length` bytes that found no room; false: none. */
  give(claim: Claim, length: number): boolean;
}

export const NO_RESERVE: Room = {
  admit() {},
  give: () => false,
};

/** What a commit of these changes is; units that it brings make it grow. */
export function claimOf(changes: readonly Change[]): Claim {
  let ends = false;
  let adds = false;
  for (const change of changes) {
    switch (change.type) {
      case "unname":
      case "dropInode":
      case "unpend":
      case "cut":
        ends = true;
        break;
      case "splice":
        if (change.extents.length > 0) adds = true;
        else ends ||= change.remove > 0;
        break;
      case "xattr":
        if (change.value === undefined) ends = true;
        else return "grow";
        break;
      case "inode":
        adds ||= !isOffcut(change.mode);
        break;
      case "name":
      case "map":
        adds = true;
        break;
      case "deliver":
      case "pend":
        return "grow";
      case "attributes":
        break;
    }
  }
  if (!ends) return "grow";
  if (!adds || changes.some(({ type }) => type === "unpend")) return "free";
  // A rename: the name that it adds was there before under another one. Somebody may do that for ever.
  return changes.some(({ type }) => type === "unname") ? "rewrite" : "grow";
}

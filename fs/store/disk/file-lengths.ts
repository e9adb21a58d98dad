/** How long files are, for reports; the store's own work asks its Disk. */
import * as fs from "node:fs";
import { join } from "node:path";

/** Together, of the files in a directory whose names count. */
export function lengthsIn(directory: string, counts: (name: string) => boolean): number {
  let bytes = 0;
  try {
    for (const name of fs.readdirSync(directory)) {
      if (counts(name)) bytes += lengthOf(join(directory, name));
    }
  } catch {
    // One that is not there, or cannot be looked at, has nothing to tell.
  }
  return bytes;
}

/** 0 of one that is not there: LevelDB removes files at any time. */
export function lengthOf(path: string): number {
  return fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

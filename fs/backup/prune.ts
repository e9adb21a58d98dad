/** Removes old backups, and the copies of segments that no backup names any more. */
import * as fs from "node:fs";
import { join } from "node:path";
import { systemDisk } from "../store/disk/system-disk.ts";
import { backupIoError } from "./errors.ts";
import { readManifest } from "./manifest.ts";
import {
  copyName,
  manifestNumbers,
  manifestPath,
  manifestsDirectory,
  segmentsDirectory,
} from "./place.ts";

export interface Pruned {
  readonly backups: readonly number[];
  readonly bytes: number;
}

/** `keep` newest ones stay. A manifest that cannot be read keeps every copy: nobody knows which it names. */
export function prune(place: string, keep: number): Pruned {
  const numbers = manifestNumbers(place);
  const removed = numbers.slice(0, Math.max(0, numbers.length - keep));
  const named = new Set<string>();
  for (const number of numbers.slice(removed.length)) {
    for (const copy of readManifest(place, number).segments) named.add(copyName(copy));
  }
  let bytes = 0;
  try {
    for (const number of removed) fs.rmSync(manifestPath(place, number));
    // A manifest never names a copy that is not there.
    systemDisk.syncDirectory(manifestsDirectory(place));
    const directory = segmentsDirectory(place);
    for (const name of fs.readdirSync(directory)) {
      if (named.has(name)) continue;
      bytes += fs.statSync(join(directory, name)).size;
      fs.rmSync(join(directory, name));
    }
  } catch (error) {
    throw backupIoError(`cannot remove old backups from ${place}`, error);
  }
  return { backups: removed, bytes };
}

/**
 * A new store from a backup. Its index is not in the backup: a start makes it from the log.
 *
 * Invariant: the file "format" is written last, so what an interrupted restore leaves is no store.
 */
import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { crc32c } from "../store/records/format.ts";
import { FORMAT_FILE, logDirectory, segmentPath } from "../store/paths.ts";
import { systemDisk } from "../store/disk/system-disk.ts";
import { BackupError, backupIoError } from "./errors.ts";
import type { Manifest, ManifestSegment } from "./manifest.ts";
import { readManifest } from "./manifest.ts";
import { copyPath, manifestNumbers, readMark } from "./place.ts";

export interface RestoreOptions {
  /** Which backup; the newest one when undefined. */
  readonly number?: number | undefined;
  readonly onProgress?: (doneBytes: number, allBytes: number) => void;
}

export interface RestoreReport {
  readonly number: number;
  readonly began: string;
  readonly segments: number;
  readonly bytes: number;
  /** Segments that were damaged in the store when they were copied. */
  readonly damagedSegments: readonly number[];
}

/** The backups of a directory, oldest first; one that cannot be read hides no other. Throws BackupError when there is none. */
export function listBackups(place: string): Manifest[] {
  const numbers = readMark(place) === undefined ? [] : manifestNumbers(place);
  if (numbers.length === 0) throw new BackupError("BACKUP_PLACE", `${place} has no backups`);
  const found: Manifest[] = [];
  let problem: Error | undefined;
  for (const number of numbers) {
    try {
      found.push(readManifest(place, number));
    } catch (error) {
      problem = error as Error;
      process.emitWarning(`backup ${number} cannot be used: ${problem.message}`);
    }
  }
  if (found.length === 0 && problem !== undefined) throw problem;
  return found;
}

/**
 * Without a store, everything is read and compared, and nothing is written. Throws BackupError; before anything is written when the manifest does not fit, or a copy is missing or has not its
 * length. A copy whose bytes do not fit ends the work where it is found.
 */
export async function restore(
  place: string,
  store: string | undefined,
  options: RestoreOptions = {},
): Promise<RestoreReport> {
  const numbers = readMark(place) === undefined ? [] : manifestNumbers(place);
  const number = options.number ?? numbers.at(-1);
  if (number === undefined) throw new BackupError("BACKUP_PLACE", `${place} has no backups`);
  const manifest = readManifest(place, number);
  const allBytes = checkLengths(place, manifest);
  if (store !== undefined) makeEmptyStore(store);
  let bytes = 0;
  for (const copy of manifest.segments) {
    const content = readCopy(place, copy);
    if (store !== undefined) writeSegment(store, copy.segment, content);
    bytes += content.length;
    options.onProgress?.(bytes, allBytes);
    await new Promise(setImmediate);
  }
  if (store !== undefined) finishStore(store, manifest.format);
  return {
    number,
    began: manifest.began,
    segments: manifest.segments.length,
    bytes,
    damagedSegments: manifest.segments.filter((copy) => copy.damaged).map((copy) => copy.segment),
  };
}

function checkLengths(place: string, { number, segments }: Manifest): number {
  let bytes = 0;
  for (const copy of segments) {
    const path = copyPath(place, copy);
    const length = fs.statSync(path, { throwIfNoEntry: false })?.size;
    if (length !== copy.length) {
      const problem = length === undefined ? "is missing" : `has ${length} bytes`;
      throw new BackupError(
        "BACKUP_DAMAGED",
        `backup ${number} cannot be restored: ${path} ${problem}`,
      );
    }
    bytes += length;
  }
  return bytes;
}

function readCopy(place: string, copy: ManifestSegment): Buffer {
  const path = copyPath(place, copy);
  let content: Buffer;
  try {
    content = fs.readFileSync(path);
  } catch (error) {
    throw backupIoError(`cannot read ${path}`, error);
  }
  if (content.length !== copy.length || crc32c(content) !== copy.checksum) {
    throw new BackupError("BACKUP_DAMAGED", `${path} does not fit its checksum`);
  }
  return content;
}

function makeEmptyStore(store: string): void {
  try {
    fs.mkdirSync(store, { recursive: true, mode: 0o700 });
    const found = fs.readdirSync(store).find((name) => name !== "lost+found");
    if (found !== undefined) {
      throw new BackupError(
        "RESTORE_TARGET",
        `${store} is not empty (it has ${found}); a backup is restored into a new or an empty directory`,
      );
    }
    fs.mkdirSync(logDirectory(store), { mode: 0o700 });
  } catch (error) {
    throw backupIoError(`cannot make ${store}`, error);
  }
}

function writeSegment(store: string, segment: number, content: Buffer): void {
  const path = segmentPath(store, segment);
  try {
    fs.writeFileSync(path, content, { mode: 0o600, flush: true, flag: "wx" });
  } catch (error) {
    throw backupIoError(`cannot write ${path}`, error);
  }
}

function finishStore(store: string, format: string): void {
  try {
    systemDisk.syncDirectory(logDirectory(store));
    fs.writeFileSync(join(store, FORMAT_FILE), format, { mode: 0o600, flush: true, flag: "wx" });
    systemDisk.syncDirectory(store);
    systemDisk.syncDirectory(dirname(store));
  } catch (error) {
    throw backupIoError(`cannot finish ${basename(store)}`, error);
  }
}

/**
 * The directory that backups of one store are kept in; nobody else builds its file names.
 *
 *     onespool-backup             "onespool backup format 1", and the store's identity
 *     lock                        held by the one process that writes here
 *     backups/NNNNNN.json         a backup: which segments, with lengths and checksums (manifest.ts)
 *     segments/NNNNNNNN-LENGTH-CHECKSUM.seg   a segment up to a length; several backups may name it
 *     *.tmp                       what an interrupted backup left; the next one removes it
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { systemDisk } from "../store/disk/system-disk.ts";
import { BackupError, backupIoError } from "./errors.ts";

export const BACKUP_FORMAT_VERSION = 1;

const MARK_FILE = "onespool-backup";
const MARK = /^onespool backup format (\d+)\nstore ([0-9a-f]{32})\n$/;
const MANIFEST_NAME = /^(\d{6,15})\.json$/;
export const TEMPORARY_END = ".tmp";

export interface SegmentCopy {
  readonly segment: number;
  /** Bytes that were copied: up to the end of the last whole frame of a segment that went on. */
  readonly length: number;
  /** CRC-32C of them all. */
  readonly checksum: number;
}

export function segmentsDirectory(place: string): string {
  return join(place, "segments");
}

export function manifestsDirectory(place: string): string {
  return join(place, "backups");
}

export function copyName({ segment, length, checksum }: SegmentCopy): string {
  const hex = checksum.toString(16).padStart(8, "0");
  return `${String(segment).padStart(8, "0")}-${length}-${hex}.seg`;
}

export function copyPath(place: string, copy: SegmentCopy): string {
  return join(segmentsDirectory(place), copyName(copy));
}

export function manifestPath(place: string, number: number): string {
  return join(manifestsDirectory(place), `${String(number).padStart(6, "0")}.json`);
}

/** Numbers of the backups that are there, ascending. */
export function manifestNumbers(place: string): number[] {
  const numbers: number[] = [];
  for (const name of fs.readdirSync(manifestsDirectory(place))) {
    const digits = MANIFEST_NAME.exec(name)?.[1];
    if (digits !== undefined) numbers.push(Number(digits));
  }
  return numbers.sort((a, b) => a - b);
}

/** The identity of the store that a directory has backups of; undefined when it is missing or empty. */
export function readMark(place: string): string | undefined {
  let text: string;
  try {
    text = fs.readFileSync(join(place, MARK_FILE), "latin1");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return withoutMark(place);
    if (code === "ENOTDIR") {
      throw new BackupError("BACKUP_PLACE", `${place} is not a directory`, { cause: error });
    }
    throw backupIoError(`cannot read ${place}`, error);
  }
  const [, version, identity] = MARK.exec(text) ?? [];
  if (identity === undefined) {
    throw new BackupError("BACKUP_DAMAGED", `${join(place, MARK_FILE)} is not what it has to be`);
  }
  if (Number(version) !== BACKUP_FORMAT_VERSION) {
    throw new BackupError(
      "BACKUP_PLACE",
      `${place} has backups of format ${version}; this program knows format ${BACKUP_FORMAT_VERSION}`,
    );
  }
  return identity;
}

function withoutMark(place: string): undefined {
  let names: string[];
  try {
    names = fs.readdirSync(place);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw backupIoError(`cannot read ${place}`, error);
  }
  // What is left when making the place was interrupted.
  const ours = ["lock", "backups", "segments", `${MARK_FILE}${TEMPORARY_END}`, "lost+found"];
  const other = names.find((name) => !ours.includes(name));
  if (other === undefined) return undefined;
  throw new BackupError(
    "BACKUP_PLACE",
    `${place} has no backups, and is not empty (it has ${other}); give a new or an empty directory`,
  );
}

/** Makes the directory for backups of this store, or finds that it is one. */
export function preparePlace(place: string, identity: string): void {
  const known = readMark(place);
  if (known !== undefined && known !== identity) {
    throw new BackupError(
      "BACKUP_PLACE",
      `${place} has backups of another store (${known}, this one is ${identity}); give a directory of its own to each store, ` +
        `also to one that was restored`,
    );
  }
  try {
    for (const directory of [place, segmentsDirectory(place), manifestsDirectory(place)]) {
      fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    }
    if (known !== undefined) return;
    const text = `onespool backup format ${BACKUP_FORMAT_VERSION}\nstore ${identity}\n`;
    writeDurably(join(place, MARK_FILE), Buffer.from(text, "latin1"));
  } catch (error) {
    throw backupIoError(`cannot make ${place}`, error);
  }
}

/** A file that is there whole, under its name and on stable storage, or not at all. */
export function writeDurably(path: string, bytes: Uint8Array): void {
  const temporary = `${path}${TEMPORARY_END}`;
  fs.writeFileSync(temporary, bytes, { mode: 0o600, flush: true });
  fs.renameSync(temporary, path);
  systemDisk.syncDirectory(join(path, ".."));
}

/** Takes the directory for this process; returns what lets go of it. */
export function lockPlace(place: string): () => void {
  const path = join(place, "lock");
  let fd: number | undefined;
  try {
    fd = systemDisk.lock(path);
  } catch (error) {
    throw backupIoError(`cannot open ${path}`, error);
  }
  if (fd === undefined) {
    throw new BackupError("BACKUP_BUSY", `another backup writes into ${place}`);
  }
  const held = fd;
  return () => systemDisk.close(held);
}

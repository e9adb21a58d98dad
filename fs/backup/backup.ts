/**
 * A consistent copy of a store while everything runs.
 *
 *     hold all segments (held-log.ts) -> copy those that are not there yet -> sync -> the manifest
 *
 * Invariants:
 * - a manifest is written last and names only segments that are on stable storage, whole, under their final names: an
 *   interrupted backup leaves the earlier ones as they were;
 * - a copy is never changed: its name says its length and checksum;
 * - everything that was acknowledged before the segments were held is in the backup, and nothing is
 *   in it without all that stood before it in the log.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { checkDirectory } from "../store/directory.ts";
import { crc32c } from "../store/records/format.ts";
import { FORMAT_FILE } from "../store/paths.ts";
import { systemDisk } from "../store/disk/system-disk.ts";
import { BackupError, backupIoError } from "./errors.ts";
import type { HeldLog, HeldSegment } from "./held-log.ts";
import { holdLog } from "./held-log.ts";
import { identityOf } from "./identity.ts";
import type { Manifest, ManifestSegment } from "./manifest.ts";
import { readManifest, writeManifest } from "./manifest.ts";
import {
  BACKUP_FORMAT_VERSION,
  copyName,
  copyPath,
  lockPlace,
  manifestNumbers,
  manifestsDirectory,
  preparePlace,
  segmentsDirectory,
  TEMPORARY_END,
} from "./place.ts";
import type { SegmentCopy } from "./place.ts";
import type { Pruned } from "./prune.ts";
import { prune } from "./prune.ts";
import { compareSegment } from "./same-segment.ts";
import type { Damage } from "./segment-bytes.ts";
import { SegmentBytesReader } from "./segment-bytes.ts";

/** Each copy that further backups use again is read and compared with its checksum by one of so many backups in a row. */
const BACKUPS_PER_READING = 14;

export interface BackupOptions {
  /** Backups that stay, the newest ones; all when it is undefined. */
  readonly keep?: number | undefined;
  readonly onProgress?: (doneSegments: number, allSegments: number) => void;
  readonly now?: () => Date;
}

export interface SegmentDamage extends Damage {
  readonly segment: number;
}

export interface BackupReport {
  readonly number: number;
  readonly segments: number;
  readonly bytes: number;
  /** Of them, those that were not there yet. */
  readonly copiedSegments: number;
  readonly copiedBytes: number;
  /** Of the store itself: copied as it is. */
  readonly damage: readonly SegmentDamage[];
  /** File names of copies that were no longer what had been copied, and were made anew. */
  readonly mendedCopies: readonly string[];
  readonly removedBackups: readonly number[];
  readonly removedBytes: number;
}

/** Throws BackupError, or StoreError when there is no store. Both paths are absolute. */
export async function backup(
  store: string,
  place: string,
  options: BackupOptions = {},
): Promise<BackupReport> {
  checkDirectory(store, systemDisk);
  const now = options.now ?? (() => new Date());
  const identity = identityOf(store);
  preparePlace(place, identity);
  const unlock = lockPlace(place);
  let log: HeldLog | undefined;
  try {
    removeTemporaries(place);
    const began = now().toISOString();
    log = holdLog(store);
    const numbers = manifestNumbers(place);
    const before = newestReadable(place, numbers);
    const number = (numbers.at(-1) ?? 0) + 1;
    const copier = new Copier(place, before, number);
    for (const [k, held] of log.segments.entries()) {
      options.onProgress?.(k, log.segments.length);
      copier.take(held);
      // A long backup can be interrupted between two segments.
      await new Promise(setImmediate);
    }
    systemDisk.syncDirectory(segmentsDirectory(place));
    const { segments, damage, copiedSegments, copiedBytes } = copier;
    const format = fs.readFileSync(join(store, FORMAT_FILE), "latin1");
    writeManifest(place, {
      version: BACKUP_FORMAT_VERSION,
      number,
      identity,
      began,
      ended: now().toISOString(),
      format,
      segments,
    });
    // What is damaged may stand whole in an earlier backup.
    const removed =
      options.keep === undefined || damage.length > 0
        ? { backups: [], bytes: 0 }
        : pruneBehind(number, place, options.keep);
    let bytes = 0;
    for (const { length } of segments) bytes += length;
    return {
      number,
      segments: segments.length,
      bytes,
      copiedSegments,
      copiedBytes,
      damage,
      mendedCopies: copier.mendedCopies,
      removedBackups: removed.backups,
      removedBytes: removed.bytes,
    };
  } catch (error) {
    throw error instanceof BackupError ? error : backupIoError(`cannot back up ${store}`, error);
  } finally {
    log?.close();
    unlock();
  }
}

/** Whether a copy is still what was copied. */
function isWhole(place: string, copy: SegmentCopy): boolean {
  const path = copyPath(place, copy);
  try {
    return crc32c(fs.readFileSync(path)) === copy.checksum;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EIO") return false;
    throw backupIoError(`cannot read ${path}`, error);
  }
}

class Copier {
  readonly segments: ManifestSegment[] = [];
  readonly damage: SegmentDamage[] = [];
  copiedSegments = 0;
  copiedBytes = 0;
  readonly mendedCopies: string[] = [];
  readonly #place: string;
  /** Of the backup that is made. */
  readonly #number: number;
  readonly #reader = new SegmentBytesReader();
  /** Copies of sealed segments, from which nothing can have changed since. */
  readonly #known = new Map<number, ManifestSegment>();

  constructor(place: string, before: Manifest | undefined, number: number) {
    this.#place = place;
    this.#number = number;
    for (const copy of before?.segments ?? []) {
      if (copy.sealed && !copy.damaged) this.#known.set(copy.segment, copy);
    }
  }

  take(held: HeldSegment): void {
    const { segment } = held;
    const known = this.#known.get(segment);
    let sameness = known === undefined ? "copyGone" : compareSegment(held, this.#place, known);
    const isDue = segment % BACKUPS_PER_READING === this.#number % BACKUPS_PER_READING;
    const isInDoubt = sameness === "differs" || (sameness === "same" && isDue);
    const isDamaged = isInDoubt && !isWhole(this.#place, known as SegmentCopy);
    if (isDamaged) sameness = "copyGone";
    if (known !== undefined && sameness === "same") {
      this.segments.push(known);
      return;
    }
    const read = this.#reader.read(held);
    if (read === undefined) return;
    const { bytes, damage } = read;
    for (const found of damage) this.damage.push({ segment, ...found });
    if (known !== undefined && sameness === "differs") {
      if (damage.length === 0) throw anotherHistory(segment, this.#place);
      // It was whole when it was copied.
      this.segments.push(known);
      return;
    }
    const copy: ManifestSegment = {
      segment,
      length: bytes.length,
      checksum: crc32c(bytes),
      sealed: !held.isLast,
      damaged: damage.length > 0,
    };
    this.segments.push(copy);
    const path = copyPath(this.#place, copy);
    // The copy of a segment that an interrupted backup made, or one that did not go on.
    const size = fs.statSync(path, { throwIfNoEntry: false })?.size;
    if (!isDamaged && size === bytes.length) return;
    try {
      const temporary = `${path}${TEMPORARY_END}`;
      fs.writeFileSync(temporary, bytes, { mode: 0o600, flush: true });
      fs.renameSync(temporary, path);
    } catch (error) {
      throw backupIoError(`cannot write ${copyName(copy)}`, error);
    }
    if (isDamaged) this.mendedCopies.push(copyName(copy));
    this.copiedSegments++;
    this.copiedBytes += bytes.length;
  }
}

/** The backup is there, whatever comes of the old ones. */
function pruneBehind(number: number, place: string, keep: number): Pruned {
  try {
    return prune(place, keep);
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    const message = `backup ${number} is done, but old ones cannot be removed: ${error.message}`;
    throw new BackupError(error.code, message, { cause: error });
  }
}

function anotherHistory(segment: number, place: string): BackupError {
  return new BackupError(
    "BACKUP_PLACE",
    `segment ${segment} of the store is not the one that ${place} has a copy of: the store is itself a copy of the one that was ` +
      `backed up there, or was put back to an earlier state; give a new directory`,
  );
}

/** A manifest that cannot be read costs only that segments are copied again. */
function newestReadable(place: string, numbers: readonly number[]): Manifest | undefined {
  for (const number of numbers.toReversed()) {
    try {
      return readManifest(place, number);
    } catch (error) {
      process.emitWarning(`backup ${number} cannot be used: ${(error as Error).message}`);
    }
  }
  return undefined;
}

function removeTemporaries(place: string): void {
  for (const directory of [segmentsDirectory(place), manifestsDirectory(place)]) {
    for (const name of fs.readdirSync(directory)) {
      if (name.endsWith(TEMPORARY_END)) fs.rmSync(join(directory, name));
    }
  }
}

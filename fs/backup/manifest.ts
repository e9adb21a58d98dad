/**
 * What one backup consists of: a line of JSON and a line with its checksum. A backup is there when its
 * manifest is; the segments that it names were on stable storage before.
 */
import * as fs from "node:fs";
import { crc32c } from "../store/records/format.ts";
import { BackupError, backupIoError } from "./errors.ts";
import type { SegmentCopy } from "./place.ts";
import { BACKUP_FORMAT_VERSION, manifestPath, writeDurably } from "./place.ts";

export interface ManifestSegment extends SegmentCopy {
  /** Whether it gets no further frame: then the next backup need not copy it again. */
  readonly sealed: boolean;
  /** Whether something in it was damaged in the store already. */
  readonly damaged: boolean;
}

export interface Manifest {
  readonly version: number;
  readonly number: number;
  /** Of the store. */
  readonly identity: string;
  /** ISO 8601, UTC. What was acknowledged before `began` is in it. */
  readonly began: string;
  readonly ended: string;
  /** What the store's file "format" says. */
  readonly format: string;
  readonly segments: readonly ManifestSegment[];
}

function encodeManifest(manifest: Manifest): Buffer {
  const line = Buffer.from(`${JSON.stringify(manifest)}\n`);
  const checksum = crc32c(line).toString(16).padStart(8, "0");
  return Buffer.concat([line, Buffer.from(`crc32c ${checksum}\n`)]);
}

export function writeManifest(place: string, manifest: Manifest): void {
  const path = manifestPath(place, manifest.number);
  try {
    writeDurably(path, encodeManifest(manifest));
  } catch (error) {
    throw backupIoError(`cannot write ${path}`, error);
  }
}

export function readManifest(place: string, number: number): Manifest {
  const path = manifestPath(place, number);
  let bytes: Buffer;
  try {
    bytes = fs.readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new BackupError("BACKUP_PLACE", `${place} has no backup ${number}`, { cause: error });
    }
    throw backupIoError(`cannot read ${path}`, error);
  }
  return decodeManifest(bytes, path);
}

function decodeManifest(bytes: Buffer, path: string): Manifest {
  const lineEnd = bytes.indexOf("\n") + 1;
  const line = bytes.subarray(0, lineEnd);
  const checksum = /^crc32c ([0-9a-f]{8})\n$/.exec(bytes.toString("latin1", lineEnd))?.[1];
  if (checksum === undefined || Number.parseInt(checksum, 16) !== crc32c(line)) {
    throw new BackupError("BACKUP_DAMAGED", `${path} does not fit its checksum`);
  }
  // Its checksum fits: it is what encodeManifest made.
  const manifest = JSON.parse(line.toString()) as Manifest;
  if (manifest.version !== BACKUP_FORMAT_VERSION) {
    throw new BackupError(
      "BACKUP_PLACE",
      `${path} has format ${manifest.version}; this program knows format ${BACKUP_FORMAT_VERSION}`,
    );
  }
  return manifest;
}

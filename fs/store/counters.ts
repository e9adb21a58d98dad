/** What the store holds, kept exact by apply and stored with each checkpoint. */
import type { ByteReader, ByteWriter } from "../../base/bytes.ts";

export interface Counters {
  /** Sizes of all inodes that are not directories or symbolic links, holes included. */
  logicalBytes: number;
  /** Bytes of units that at least one extent names: the union of the referenced ranges. */
  storedBytes: number;
  /** Those of them that more than one extent names. */
  sharedBytes: number;
  /** Unit bytes in the log, referenced or not. */
  unitBytes: number;
  units: number;
  files: number;
  directories: number;
  nextIno: number;
  nextUnit: number;
  nextPending: number;
}

const fields = [
  "logicalBytes",
  "storedBytes",
  "sharedBytes",
  "unitBytes",
  "units",
  "files",
  "directories",
  "nextIno",
  "nextUnit",
  "nextPending",
] as const satisfies readonly (keyof Counters)[];

/** Inode numbers below this are the root, the control file and room for more of their kind. */
export const FIRST_INO = 16;
export const ROOT_INO = 1;

export function emptyCounters(): Counters {
  return {
    logicalBytes: 0,
    storedBytes: 0,
    sharedBytes: 0,
    unitBytes: 0,
    units: 0,
    files: 0,
    directories: 0,
    nextIno: FIRST_INO,
    nextUnit: 1,
    nextPending: 1,
  };
}

export function encodeCounters(out: ByteWriter, counters: Counters): void {
  for (const field of fields) out.varint(counters[field]);
}

export function decodeCounters(from: ByteReader): Counters {
  const counters = emptyCounters();
  for (const field of fields) counters[field] = from.varint();
  return counters;
}

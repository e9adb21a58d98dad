/** What the store holds, kept exact by apply and stored with each checkpoint. */
import type { ByteReader, ByteWriter } from "../../../base/bytes.ts";

export interface Counters {
  /**
   * Sizes of all regular files, holes included: a bigint, because two sparse files of the largest size
   * are more than 2^53.
   */
  logicalBytes: bigint;
  /** Bytes of units that at least one extent names: the union of the referenced ranges. */
  storedBytes: number;
  /** Those of them that more than one extent names. */
  sharedBytes: number;
  /** Unit bytes in the log, referenced or not. */
  unitBytes: number;
  units: number;
  files: number;
  directories: number;
  /** Extents in the leaves of all files' trees. */
  extents: number;
  /** Names in all directories, and the bytes of them. */
  names: number;
  nameBytes: number;
  /** Bytes of extended attributes, their names included, and of symbolic links' targets. */
  attributeBytes: number;
  nextIno: number;
  nextUnit: number;
  nextPending: number;
}

const fields = [
  "storedBytes",
  "sharedBytes",
  "unitBytes",
  "units",
  "files",
  "directories",
  "extents",
  "names",
  "nameBytes",
  "attributeBytes",
  "nextIno",
  "nextUnit",
  "nextPending",
] as const satisfies readonly Exclude<keyof Counters, "logicalBytes">[];

/** Inode numbers below this are the root, the control file and room for more of their kind. */
const FIRST_INO = 16;
export const ROOT_INO = 1;

/** Logical bytes are stored as multiples of this and the rest. */
const LOW = 1n << 32n;

export function emptyCounters(): Counters {
  return {
    logicalBytes: 0n,
    storedBytes: 0,
    sharedBytes: 0,
    unitBytes: 0,
    units: 0,
    files: 0,
    directories: 0,
    extents: 0,
    names: 0,
    nameBytes: 0,
    attributeBytes: 0,
    nextIno: FIRST_INO,
    nextUnit: 1,
    nextPending: 1,
  };
}

export function encodeCounters(out: ByteWriter, counters: Counters): void {
  out.varint(Number(counters.logicalBytes / LOW));
  out.varint(Number(counters.logicalBytes % LOW));
  for (const field of fields) out.varint(counters[field]);
}

export function decodeCounters(from: ByteReader): Counters {
  const counters = emptyCounters();
  counters.logicalBytes = BigInt(from.varint()) * LOW + BigInt(from.varint());
  for (const field of fields) counters[field] = from.varint();
  return counters;
}

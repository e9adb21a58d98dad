/**
 * The records of a LevelDB log or manifest (LevelDB, doc/log_format.md): blocks of 32 KiB with fragments of
 * checksum, length, type and bytes. Pure.
 */
import { maskedChecksum } from "./masked-checksum.ts";

const BLOCK_LENGTH = 32 * 1024;
const HEADER_LENGTH = 7;
const FULL = 1;
const FIRST = 2;
const LAST = 4;

export interface LogRecords {
  /** The whole ones. */
  readonly records: readonly Buffer[];
  /** The first fragment that does not fit its checksum although later ones do. */
  readonly damage: number | undefined;
  /**
   * The first one that does not fit or that the file's end cuts off, when no whole one follows: damage, or what a crash left of a
   * write that nobody was told of.
   */
  readonly badTail: number | undefined;
}

export function readLogRecords(bytes: Buffer): LogRecords {
  const records: Buffer[] = [];
  let parts: Buffer[] = [];
  let bad: number | undefined;
  let damage: number | undefined;
  let at = 0;
  while (at + HEADER_LENGTH <= bytes.length) {
    const left = BLOCK_LENGTH - (at % BLOCK_LENGTH);
    if (left < HEADER_LENGTH) {
      if (!isZero(bytes.subarray(at, at + left))) bad ??= at;
      at += left;
      continue;
    }
    const end = at + HEADER_LENGTH + bytes.readUInt16LE(at + 4);
    const isInBlock = end <= at + left;
    if (!isInBlock || !isWhole(bytes, at, end)) {
      bad ??= at;
      parts = [];
      at = isInBlock && isWhole(bytes, end) ? end : at + left;
      continue;
    }
    damage ??= bad;
    const type = bytes[at + 6] as number;
    if (type === FULL || type === FIRST) parts = [];
    parts.push(bytes.subarray(at + HEADER_LENGTH, end));
    if (type === FULL || type === LAST) records.push(Buffer.concat(parts));
    at = end;
  }
  if (at < bytes.length) bad ??= at;
  return { records, damage, badTail: damage === undefined ? bad : undefined };
}

function isWhole(
  bytes: Buffer,
  at: number,
  end = at + HEADER_LENGTH <= bytes.length ? at + HEADER_LENGTH + bytes.readUInt16LE(at + 4) : at,
): boolean {
  const type = bytes[at + 6] ?? 0;
  if (end <= at || end > bytes.length || type < FULL || type > LAST) return false;
  return maskedChecksum(bytes.subarray(at + 6, end)) === bytes.readUInt32LE(at);
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}

/** Damage of the log in words, one line for each. */
import type { LogDamageKind } from "../log/log-scan.ts";
import type { ReportedDamage, TouchedFile } from "./damage-report.ts";

/** Files that a line names; `files` of the report has more of them. */
const FILES_IN_LINE = 20;
/** Names of one file, and ranges of it, in a line. */
const PARTS_IN_LINE = 4;

const what: Readonly<Record<LogDamageKind, string>> = {
  header: "the segment's header is damaged",
  record: "a record is damaged",
  malformed: "a record cannot be understood",
  data: "stored bytes do not fit their checksum",
  misplaced: "the file is another segment's",
  missing: "the segment's file is missing",
  cut: "the segment's end is missing",
};

/**
 * `isIndexKnown`: whether the index was there to be asked which files are touched. `whole`: what of files is true that lost no
 * bytes.
 */
export function describeDamage(
  found: ReportedDamage,
  isIndexKnown = true,
  whole = "can be read",
): string {
  const { kind, segment, offset, length, number, unit, files, fileCount, pendingCount } = found;
  const where =
    kind === "missing"
      ? `segment ${segment}`
      : `segment ${segment}, offset ${offset}, ${length} bytes`;
  const of = unit === undefined ? "" : ` (unit ${unit.id})`;
  const whose = number === undefined ? "" : `: its header says ${number}`;
  const parts = [`${where}: ${what[kind]}${of}${whose}`];
  const named = files.slice(0, FILES_IN_LINE).map((file) => describeFile(file, whole));
  if (fileCount > named.length) named.push(`and ${fileCount - named.length} more`);
  if (fileCount > 0) {
    const touched = fileCount === 1 ? "1 file" : `${fileCount} files`;
    parts.push(`${touched} touched: ${named.join("; ")}`);
  }
  if (pendingCount > 0) parts.push(`${pendingCount} deliveries that wait for a lock touched`);
  if (isIndexKnown && fileCount === 0 && pendingCount === 0) parts.push(untouched(kind));
  return parts.join("; ");
}

function untouched(kind: LogDamageKind): string {
  if (kind === "data") return "no file has these bytes";
  return "the index has all that was in it, but could not be made anew without it";
}

function describeFile({ ino, paths, lost }: TouchedFile, whole: string): string {
  const names = paths.slice(0, PARTS_IN_LINE).map(printable);
  if (paths.length > names.length) names.push(`${paths.length - names.length} more names`);
  const name = names.length === 0 ? `inode ${ino}, without a name` : names.join(" = ");
  if (lost.length === 0) return `${name} (${whole})`;
  const ranges = lost
    .slice(0, PARTS_IN_LINE)
    .map(({ offset, length }) => `${offset}-${offset + length - 1}`);
  if (lost.length > ranges.length) ranges.push(`${lost.length - ranges.length} more`);
  return `${name} (lost: bytes ${ranges.join(", ")})`;
}

/** A name is bytes; a line is one line. */
export function printable(bytes: string): string {
  const text = Buffer.from(bytes, "latin1").toString("utf8");
  return /^[^\p{Cc}\p{Cf}"\uFFFD]*$/u.test(text) ? text : JSON.stringify(bytes);
}

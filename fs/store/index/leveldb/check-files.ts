/**
 * Finds damage in the files of a LevelDB database that nobody has open: every byte of its tables, its manifest and its
 * logs is covered by a checksum, but LevelDB looks at few of them. A table that no manifest names is what a crash left
 * of work under way, and counts for nothing.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { MalformedError } from "../../../../base/bytes.ts";
import { readLogRecords } from "./log-records.ts";
import type { LevelFiles } from "./manifest.ts";
import { readManifest } from "./manifest.ts";
import { findTableDamage } from "./table.ts";

export interface FileDamage {
  readonly file: string;
  readonly offset: number;
}

export interface LevelCheck {
  readonly bytes: number;
  readonly damage: readonly FileDamage[];
}

export interface LevelCheckOptions {
  /** Reads no more than about so much, the newest tables first. */
  readonly bytesMax?: number;
  /**
   * Whether the end of a log may be what a power cut left of a write that was not durable. LevelDB drops it, and the
   * index is what it was before that write, as a whole.
   */
  readonly mayBeTorn?: boolean;
}

/** Of a directory that is not there: nothing. */
export function checkLevelFiles(
  directory: string,
  { bytesMax = Number.POSITIVE_INFINITY, mayBeTorn = false }: LevelCheckOptions = {},
): LevelCheck {
  const damage: FileDamage[] = [];
  let bytes = 0;
  const read = (name: string): Buffer | undefined => {
    try {
      const content = fs.readFileSync(join(directory, name));
      bytes += content.length;
      return content;
    } catch {
      damage.push({ file: name, offset: 0 });
      return undefined;
    }
  };
  const names = listDirectory(directory);
  if (names.length === 0) return { bytes, damage };
  const current = read("CURRENT")?.toString("latin1") ?? "";
  const manifest = /^(MANIFEST-\d{6,})\n$/.exec(current)?.[1];
  if (manifest === undefined) return { bytes, damage: [{ file: "CURRENT", offset: 0 }] };
  const records = readLogRecords(read(manifest) ?? Buffer.alloc(0));
  const inManifest = records.damage ?? records.badTail;
  if (inManifest !== undefined) damage.push({ file: manifest, offset: inManifest });
  let files: LevelFiles;
  try {
    files = readManifest(records.records);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    return { bytes, damage: [...damage, { file: manifest, offset: 0 }] };
  }
  for (const name of names) {
    const number = Number(/^(\d+)\.log$/.exec(name)?.[1] ?? -1);
    if (number < files.firstLog) continue;
    const content = read(name);
    if (content === undefined) continue;
    const log = readLogRecords(content);
    const offset = log.damage ?? (mayBeTorn ? undefined : log.badTail);
    if (offset !== undefined) damage.push({ file: name, offset });
  }
  for (const [number, length] of [...files.tables].sort(([a], [b]) => b - a)) {
    if (bytes > bytesMax) break;
    const digits = String(number).padStart(6, "0");
    const name = names.includes(`${digits}.sst`) ? `${digits}.sst` : `${digits}.ldb`;
    const content = read(name);
    if (content === undefined) continue;
    const offset =
      content.length === length ? findTableDamage(content) : Math.min(length, content.length);
    if (offset !== undefined) damage.push({ file: name, offset });
  }
  return { bytes, damage };
}

function listDirectory(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return [];
    // A file in the directory's place: an index without its first file.
    if (code === "ENOTDIR") return ["CURRENT"];
    throw error;
  }
}

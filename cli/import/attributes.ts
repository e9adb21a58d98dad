/** Owner, mode, extended attributes and times of what is brought in, and the import's note among them. */
import type { BigIntStats } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { getAttr, listAttrs, setAttr } from "fs-native-extensions";
import { formatMark, parseMark, type Mark } from "./mark.ts";
import { setTimes, type Times } from "./times.ts";

const MODE_BITS = 0o7777;
/** Only root sees attributes of the first name space. */
const MARK_NAME = process.getuid?.() === 0 ? "trusted.onespool.import" : "user.onespool.import";
/** Name spaces that the spool has and that an import may set. */
const COPIED = process.getuid?.() === 0 ? ["user.", "trusted."] : ["user."];

export interface Attributes {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly times: Times;
}

export function attributesOf(stats: BigIntStats): Attributes {
  return {
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    mode: Number(stats.mode) & MODE_BITS,
    times: { atimeNs: stats.atimeNs, mtimeNs: stats.mtimeNs },
  };
}

/** Whether a file system without such a thing has said so. */
function isUnsupported(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOTSUP" || code === "EOPNOTSUPP" || code === "ENOSYS" || code === "EPERM";
}

async function orNothing<T>(attempt: Promise<T>): Promise<T | undefined> {
  try {
    return await attempt;
  } catch (error) {
    if (isUnsupported(error)) return undefined;
    throw error;
  }
}

/** Without root a file stays its importer's, as with cp(1). The times come last: each of the others is a change. */
export async function setAttributes(
  file: FileHandle,
  { uid, gid, mode, times }: Attributes,
): Promise<void> {
  if (process.getuid?.() === 0) await file.chown(uid, gid);
  await file.chmod(mode);
  await setTimes(file, times);
}

/** Access control lists are not among them: a spool has none. */
export async function copyXattrs(from: number, to: number): Promise<void> {
  for (const name of (await orNothing(listAttrs(from))) ?? []) {
    if (name === MARK_NAME || !COPIED.some((prefix) => name.startsWith(prefix))) continue;
    const value = await getAttr(from, name);
    if (value !== null) await setAttr(to, name, value);
  }
}

export async function writeMark(descriptor: number, mark: Mark): Promise<void> {
  await orNothing(setAttr(descriptor, MARK_NAME, formatMark(mark)));
}

export async function readMark(descriptor: number): Promise<Mark | undefined> {
  const value = await orNothing(getAttr(descriptor, MARK_NAME));
  return value === null || value === undefined ? undefined : parseMark(value);
}

/** A mailbox of the target: what is there, and how a new one takes its name. */
import { constants, type BigIntStats } from "node:fs";
import { link, lstat, open, rename, unlink, type FileHandle } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { readMark } from "./attributes.ts";
import { Skip } from "./failures.ts";
import { openToRead, tryWriteLock } from "./locked-source.ts";
import type { Mark } from "./mark.ts";
import { bytesOf } from "./names.ts";

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDWR, O_WRONLY } = constants;
const POLL_MS = 100;

export interface Existing {
  readonly file: FileHandle;
  readonly stats: BigIntStats;
  readonly mark: Mark | undefined;
}

export async function lstatOrNothing(path: string): Promise<BigIntStats | undefined> {
  try {
    return await lstat(bytesOf(path), { bigint: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Undefined when the name is free. The caller closes the file. */
export async function openExisting(path: string): Promise<Existing | undefined> {
  const named = await lstatOrNothing(path);
  if (named === undefined) return undefined;
  if (!named.isFile()) throw new Skip("refused", "something that is no file is there already");
  const file = await openToRead(path);
  try {
    const stats = await file.stat({ bigint: true });
    if (!stats.isFile()) throw new Skip("refused", "something that is no file is there already");
    return { file, stats, mark: await readMark(file.fd) };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Gives a file that is whole and durable its name, if that is still free. */
export async function putNew(temporary: string, file: FileHandle, path: string): Promise<void> {
  try {
    await link(bytesOf(temporary), bytesOf(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new Skip("refused", "a file of that name has just been made");
  }
  // In a directory that others may write to, the temporary name could have been made to mean something else.
  const [made, named] = [await file.stat({ bigint: true }), await lstatOrNothing(path)];
  if (named?.ino !== made.ino) throw new Skip("refused", "somebody else changes this directory");
  await unlink(bytesOf(temporary));
}

/**
 * Puts a file in the place of an existing one, under the locks that mail programs and deliveries respect. What is
 * delivered meanwhile shows in the new one.
 */
export async function replace(
  temporary: string,
  path: string,
  existing: Existing,
  waitMsMax: number,
): Promise<void> {
  const deadline = Date.now() + waitMsMax;
  const file = await open(bytesOf(path), O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  let hasDotlock = false;
  try {
    for (;;) {
      hasDotlock ||= await makeDotlock(path);
      if (hasDotlock && tryWriteLock(file)) break;
      if (Date.now() >= deadline) throw new Skip("locked", "another program holds a lock on it");
      await sleep(POLL_MS);
    }
    const now = await lstatOrNothing(path);
    const { stats } = existing;
    const isSame =
      now?.ino === stats.ino && now.size === stats.size && now.mtimeNs === stats.mtimeNs;
    if (!isSame) throw new Skip("locked", "was changed while it was being brought up to date");
    await rename(bytesOf(temporary), bytesOf(path));
  } finally {
    if (hasDotlock) await unlink(bytesOf(`${path}.lock`)).catch(() => undefined);
    await file.close();
  }
}

/** A name that has no room for ".lock" has none. */
async function makeDotlock(path: string): Promise<boolean> {
  try {
    const file = await open(bytesOf(`${path}.lock`), O_WRONLY | O_CREAT | O_EXCL, 0o600);
    await file.close();
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return false;
    if (code === "ENAMETOOLONG") return true;
    throw error;
  }
}

/**
 * A file that is being made, under a name of its own in the directory where it will be. It has its final name
 * only when it is whole and on stable storage. Its maker holds a lock on it, so that another run knows
 * what was left behind by one that was killed.
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { open, unlink, type FileHandle } from "node:fs/promises";
import { openToRead, tryReadLock, tryWriteLock } from "./locked-source.ts";
import { bytesOf, join, TEMPORARY_PREFIX } from "./names.ts";

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants;

export interface Temporary {
  readonly name: string;
  readonly path: string;
  readonly file: FileHandle;
}

export function temporaryName(): string {
  return TEMPORARY_PREFIX + randomBytes(8).toString("hex");
}

export async function makeTemporary(directory: string): Promise<Temporary> {
  const name = temporaryName();
  const path = join(directory, name);
  const file = await open(bytesOf(path), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  tryWriteLock(file);
  return { name, path, file };
}

/** Closes it; takes the name away if it is still there. */
export async function endTemporary({ path, file }: Temporary): Promise<void> {
  await file.close();
  await unlink(bytesOf(path)).catch(() => undefined);
}

/** Removes what a run that was ended in the middle has left in a directory. */
export async function removeLeftOvers(directory: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    if (!name.startsWith(TEMPORARY_PREFIX)) continue;
    const path = join(directory, name);
    const file = await openToRead(path).catch(() => undefined);
    if (file === undefined) {
      // A symbolic link, of which there is only an unfinished one.
      await unlink(bytesOf(path)).catch(() => undefined);
      continue;
    }
    // A shared lock is enough to see the exclusive one of a maker that lives.
    if (tryReadLock(file)) await unlink(bytesOf(path)).catch(() => undefined);
    await file.close();
  }
}

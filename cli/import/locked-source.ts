/**
 * A mailbox of a source that may be in use, read so that no half-written message comes in: under a read lock
 * (fcntl), while there is no dotlock, and again from the start when it has changed meanwhile. Nothing is written into the source,
 * not even a dotlock: an import that is killed leaves nothing behind that would stop mail.
 */
import type { BigIntStats } from "node:fs";
import { constants } from "node:fs";
import { lstat, open, type FileHandle } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { tryLock } from "fs-native-extensions";
import { isValidDotlock, type MailboxOwner } from "../../fs/delivery/dotlock-rule.ts";
import { bytesOf } from "./names.ts";

const { O_NOATIME, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
const POLL_MS = 100;
/** File times move by ticks of a few milliseconds: a change in the same tick would not show. */
const TICK_NS = 20_000_000n;

/** Also for directories. Only the owner and root may leave the time of reading as it is. */
export async function openToRead(path: string): Promise<FileHandle> {
  const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
  try {
    return await open(bytesOf(path), flags | O_NOATIME);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") throw error;
    return open(bytesOf(path), flags);
  }
}

/** By the rule of the spool itself. */
async function hasDotlock(path: string, mailbox: MailboxOwner): Promise<boolean> {
  try {
    const { uid, gid, mtimeMs } = await lstat(bytesOf(`${path}.lock`));
    return isValidDotlock({ uid, gid, mtimeSec: mtimeMs / 1000 }, mailbox, Date.now() / 1000);
  } catch {
    return false;
  }
}

/** True also where there are no locks. It ends when the file is closed. */
export function tryReadLock(file: FileHandle): boolean {
  try {
    return tryLock(file.fd, 0, 0, { shared: true });
  } catch {
    return true;
  }
}

/** True also where there are no locks. */
export function tryWriteLock(file: FileHandle): boolean {
  try {
    return tryLock(file.fd);
  } catch {
    return true;
  }
}

export interface LockWait {
  readonly msMax: number;
  readonly signal: AbortSignal;
}

/** Undefined when a program has held a lock for the whole time. Rejects when the wait is aborted. */
export async function openUnlocked(
  path: string,
  { msMax, signal }: LockWait,
): Promise<FileHandle | undefined> {
  const deadline = Date.now() + msMax;
  for (;;) {
    // Opened anew each time: a program may rename another file to this name under its lock.
    const file = await openToRead(path);
    try {
      if (!(await hasDotlock(path, await file.stat())) && tryReadLock(file)) return file;
    } catch (error) {
      await file.close();
      throw error;
    }
    await file.close();
    if (Date.now() >= deadline) return undefined;
    await sleep(POLL_MS, undefined, { signal });
  }
}

/** The state to compare with afterwards, once a change from now on would show in it. */
export async function settledStat(file: FileHandle): Promise<BigIntStats> {
  const now = BigInt(Date.now()) * 1_000_000n;
  const stats = await file.stat({ bigint: true });
  if (now - stats.mtimeNs > TICK_NS || stats.mtimeNs > now) return stats;
  await sleep(Number(TICK_NS / 1_000_000n));
  return file.stat({ bigint: true });
}

/** Whether nobody changed the file, or put another one in its place, since `before`. */
export async function isUnchanged(
  path: string,
  file: FileHandle,
  before: BigIntStats,
): Promise<boolean> {
  const owner = { uid: Number(before.uid), gid: Number(before.gid) };
  if (await hasDotlock(path, owner)) return false;
  const [now, named] = await Promise.all([
    file.stat({ bigint: true }),
    lstat(bytesOf(path), { bigint: true }).catch(() => undefined),
  ]);
  const isSame = now.size === before.size && now.mtimeNs === before.mtimeNs;
  return isSame && named?.ino === before.ino && named.dev === before.dev;
}

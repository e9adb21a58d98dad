/**
 * A store that nothing serves, mounted for as long as an import takes: by `onespool mount` in a process of its own, which
 * unmounts and ends when this one does, however it ends.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, realpathSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { CommandFailure, EXIT_FAILED } from "../failure.ts";
import { firstMessage } from "../mount-daemon.ts";
import { mountAt, readMounts } from "../mountinfo.ts";
import { unmount } from "../unmounting.ts";

const COMMAND = fileURLToPath(new URL("../onespool.js", import.meta.url));

/** How long the process may take to write what it holds, and then to follow a signal. */
export interface EndLimits {
  readonly closeMs: number;
  readonly signalMs: number;
}

const END_LIMITS: EndLimits = { closeMs: 60_000, signalMs: 10_000 };

export interface OwnMount {
  readonly mountpoint: string;
  /** Resolves when it is unmounted and the store is closed. */
  end(): Promise<void>;
}

export async function mountForAWhile(store: string): Promise<OwnMount> {
  const mountpoint = mkdtempSync(join(realpathSync(tmpdir()), "onespool-import-"));
  // In a session of its own: Ctrl-C is for us, and we unmount when all files are closed.
  const child = spawn(
    process.execPath,
    [...process.execArgv, COMMAND, "mount", store, mountpoint, "--while-connected"],
    {
      cwd: "/",
      detached: true,
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      env: { ...process.env, MALLOC_ARENA_MAX: "1" },
    },
  );
  const exited = once(child, "exit").catch(() => undefined);
  const end = async (): Promise<void> => {
    await endProcess(child, exited, END_LIMITS);
    // Still there if the process was killed.
    if (mountAt(readMounts(), mountpoint) !== undefined) await unmount(mountpoint, true);
    removeMountpoint(mountpoint);
  };
  try {
    await answer(child);
  } catch (error) {
    await end().catch(() => undefined);
    throw error;
  }
  return {
    mountpoint,
    end: async () => {
      await end();
      if (child.exitCode === 0) return;
      throw new CommandFailure(`${store}: the process that served it did not end well`);
    },
  };
}

/** It ends when its channel does; one that hangs is ended, and what it had acknowledged is in the store. */
export async function endProcess(
  child: ChildProcess,
  exited: Promise<unknown>,
  { closeMs, signalMs }: EndLimits,
): Promise<void> {
  if (child.connected) child.disconnect();
  if (await isWithin(exited, closeMs)) return;
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    child.kill(signal);
    if (await isWithin(exited, signalMs)) return;
  }
}

async function isWithin(done: Promise<unknown>, ms: number): Promise<boolean> {
  const given = new AbortController();
  const late = sleep(ms, false, { signal: given.signal }).catch(() => false);
  const isDone = await Promise.race([done.then(() => true), late]);
  given.abort();
  return isDone;
}

export function removeMountpoint(mountpoint: string): void {
  try {
    rmdirSync(mountpoint);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EBUSY") throw error;
    const advice = "`onespool umount` frees it";
    throw new CommandFailure(`${mountpoint}: the store is still mounted there; ${advice}`);
  }
}

async function answer(child: ChildProcess): Promise<void> {
  const message = await firstMessage(child, () => {
    return { failure: "the store could not be mounted", exitCode: EXIT_FAILED };
  });
  if ("failure" in message) throw new CommandFailure(message.failure, message.exitCode);
}

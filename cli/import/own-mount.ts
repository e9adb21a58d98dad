/**
 * A store that nothing serves, mounted for as long as an import takes: by `onespool mount` in a process of its own, which
 * unmounts and ends when this one does, however it ends.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, realpathSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CommandFailure, reasonOf } from "../failure.ts";
import { mountAt, readMounts } from "../mountinfo.ts";
import { unmount } from "../unmounting.ts";

const COMMAND = fileURLToPath(new URL("../onespool.js", import.meta.url));

/** What `onespool mount` tells its starter. */
type Message =
  | { readonly ready: string; readonly warnings: readonly string[] }
  | { readonly failure: string; readonly exitCode: number };

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
    if (child.connected) child.disconnect();
    await exited;
    // Still there if the process was killed.
    if (mountAt(readMounts(), mountpoint) !== undefined) await unmount(mountpoint, true);
    rmdirSync(mountpoint);
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

async function answer(child: ChildProcess): Promise<void> {
  const message = await new Promise<Message>((settle) => {
    child.once("message", (value) => settle(value as Message));
    child.once("error", (error) => settle({ failure: reasonOf(error), exitCode: 1 }));
    child.once("exit", () => settle({ failure: "the store could not be mounted", exitCode: 1 }));
  });
  if ("failure" in message) throw new CommandFailure(message.failure, message.exitCode);
}

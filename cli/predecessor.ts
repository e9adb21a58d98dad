/**
 * A server whose supervisor was killed leaves a spool that ends by itself, and has the store until it has. Who comes
 * next waits for that, instead of being refused as a second server is.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { LOCK_FILE } from "../fs/store/paths.ts";
import { servingOptions } from "../fs/takeover/lives.ts";
import { isHeld } from "./store-holder.ts";

/** It closes its store, which takes as long as the disk does. */
const WAIT_MS_MAX = 20_000;
const LOOK_MS = 50;

/** Resolves when no orphan has the store, or it takes too long; who opens the store says which. */
export async function orphanEnded(store: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS_MAX;
  let isSaid = false;
  for (;;) {
    const pid = orphanOf(store);
    if (pid === undefined || performance.now() > deadline) return;
    if (!isSaid) {
      process.stderr.write(
        `onespool: ${store}: waiting for process ${pid}, whose server is gone\n`,
      );
    }
    isSaid = true;
    await sleep(LOOK_MS);
  }
}

/** The process that has the store, if its supervisor is gone: it was that one's child, of the same program. */
function orphanOf(store: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(store, LOCK_FILE), "latin1"));
    if (!Number.isSafeInteger(pid) || pid <= 0 || !isHeld(store)) return undefined;
    const isSupervised = readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(
      servingOptions.whileConnected,
    );
    return isSupervised && !isChildOfItsLike(pid) ? pid : undefined;
  } catch {
    // No store yet, or the process has gone.
    return undefined;
  }
}

/** Field 4 of proc_pid_stat(5), counted from behind the name, is the parent. */
function isChildOfItsLike(pid: number): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const parent = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1];
  const own = readlinkSync(`/proc/${pid}/exe`);
  try {
    return readlinkSync(`/proc/${parent}/exe`) === own;
  } catch {
    // Another user's, or gone: not who started it.
    return false;
  }
}

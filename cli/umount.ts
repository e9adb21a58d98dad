/** `onespool umount`: returns when the mount is gone and its store is closed. */
import { setTimeout as sleep } from "node:timers/promises";
import { Command } from "commander";
import { CommandFailure } from "./failure.ts";
import { isOnespool, mountAt, readMounts } from "./mountinfo.ts";
import { lastLogLine, readMountpoint, removeMountpoint, resolveMountpoint } from "./paths.ts";
import { Progress } from "./progress.ts";
import { isHeld } from "./store-holder.ts";
import { probe, unmount } from "./unmounting.ts";

const CLOSE_TIMEOUT_MS = 60_000;
const POLL_MS = 20;

/**
 * The server takes its note of the mount point away as the last thing it does with a store that it could
 * close; one that could not, or that died, leaves it and ends.
 */
export async function storeClosed(store: string, mountpoint: string): Promise<void> {
  const progress = new Progress();
  const end = Date.now() + CLOSE_TIMEOUT_MS;
  const isNoted = (): boolean => readMountpoint(store) === mountpoint;
  while (isNoted()) {
    // Asked in this order, for a server that has just closed the store is gone a moment later.
    if (!isHeld(store) && isNoted()) {
      progress.clear();
      removeMountpoint(store);
      const logged = lastLogLine(store);
      throw new CommandFailure(
        `${store}: unmounted, but the store was not closed cleanly${logged && `: ${logged}`}`,
      );
    }
    if (Date.now() > end) {
      throw new CommandFailure(`${store}: unmounted, but the store is still being closed`);
    }
    progress.show(`closing ${store}`);
    await sleep(POLL_MS);
  }
  progress.clear();
}

async function umount(given: string, options: { lazy?: boolean }): Promise<void> {
  const mountpoint = await resolveMountpoint(given);
  const entry = mountAt(readMounts(), mountpoint);
  if (entry === undefined || !isOnespool(entry)) {
    throw new CommandFailure(`${given}: no onespool is mounted there`);
  }
  const lazy = options.lazy === true;
  const state = lazy ? undefined : await probe(mountpoint);
  if (state === "hung") {
    throw new CommandFailure(`${given}: its server does not answer (--lazy detaches it anyway)`);
  }
  await unmount(mountpoint, lazy || state === "dead");
  if (state === "alive") await storeClosed(entry.source, mountpoint);
}

export function umountCommand(): Command {
  return new Command("umount")
    .description("unmount; returns when the store is closed")
    .argument("<mountpoint>", "the directory that a store is mounted at")
    .option("-l, --lazy", "detach it at once; programs keep the files that they have open")
    .action(umount);
}

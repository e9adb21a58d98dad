/** What is looked at before a mount: the mount point, and the directory of the store. */
import { statSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { about, CommandFailure } from "./failure.ts";
import { contains, isOnespool, mountAt, mountOf, readMounts } from "./mountinfo.ts";
import {
  directoriesAbove,
  isMissingOrEmpty,
  makeDirectory,
  resolveMountpoint,
  resolveNew,
} from "./paths.ts";
import { probe, unmount } from "./unmounting.ts";

/** Returns the mount point's path; a mount of ours whose server died is taken away first. */
export async function prepareMountpoint(given: string): Promise<string> {
  const mountpoint = await resolveMountpoint(given);
  const entry = mountAt(readMounts(), mountpoint);
  if (entry === undefined || !isOnespool(entry)) {
    if (!(await about(given, () => statSync(mountpoint))).isDirectory()) {
      throw new CommandFailure(`${given}: not a directory`);
    }
    return mountpoint;
  }
  if ((await probe(mountpoint)) !== "dead") {
    throw new CommandFailure(`${given}: ${entry.source} is mounted there already`);
  }
  await unmount(mountpoint, true);
  process.stderr.write(`onespool: ${given}: removed a mount whose server was gone\n`);
  return mountpoint;
}

/**
 * A store under its own mount could be reached only through itself, one in another store would be in the way of
 * that one's files, and one in another spool would be served by a process that waits for another to sync.
 */
export async function prepareStore(given: string, mountpoint: string): Promise<string> {
  const path = await about(given, () => resolveNew(given));
  if (contains(path, mountpoint) || contains(mountpoint, path)) {
    throw new CommandFailure(`${given}: store and mount point must not lie inside each other`);
  }
  const entry = mountOf(readMounts(), path);
  if (entry !== undefined && isOnespool(entry)) {
    throw new CommandFailure(`${given}: lies in the spool that is mounted at ${entry.mountpoint}`);
  }
  await refuseInStore(given, path);
  return about(given, () => {
    if (isMissingOrEmpty(path)) makeDirectory(path);
    return realpath(path);
  });
}

async function refuseInStore(given: string, path: string): Promise<void> {
  const { isStore } = await import("../fs/store/directory.ts");
  const outer = directoriesAbove(path).find((name) => isStore(name));
  if (outer !== undefined) throw new CommandFailure(`${given}: lies in the store ${outer}`);
}

/**
 * A place for something new that is not served by a spool: it would be written through a mount, and be gone with it.
 * Nor is it in a store, whose files it would be among. Only its first directories need exist.
 */
export async function resolveOutsideSpools(given: string): Promise<string> {
  const path = await about(given, () => resolveNew(given));
  const entry = mountOf(readMounts(), path);
  if (entry !== undefined && isOnespool(entry)) {
    throw new CommandFailure(`${given}: is in a spool; give a directory elsewhere`);
  }
  await refuseInStore(given, path);
  return path;
}

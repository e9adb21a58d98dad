/** Where an import goes: a directory in a mounted spool, or a store, which is then mounted for the time. */
import { mkdirSync, realpathSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { about, CommandFailure } from "../failure.ts";
import { contains, isOnespool, mountAt, readMounts } from "../mountinfo.ts";
import { isMissingOrEmpty, readMountpoint, resolveNew } from "../paths.ts";
import { findPlace, type Place } from "../spool-paths.ts";
import { isHeld } from "../store-holder.ts";
import { mountForAWhile } from "./own-mount.ts";

export interface Target {
  /** Absolute, and free of symbolic links. */
  readonly directory: string;
  readonly mountpoint: string;
  /** From the root of the mount, "" for the root itself. */
  readonly path: string;
  end(): Promise<void>;
}

export interface TargetOptions {
  /** A store that is missing may be made. */
  readonly mayCreate: boolean;
  readonly isDry: boolean;
}

export async function openTarget(
  given: string,
  source: string,
  options: TargetOptions,
): Promise<Target> {
  const place = await placeOf(given);
  if (place !== undefined) return inMount(given, source, place, options.isDry);
  const { isStore } = await import("../../fs/store/directory.ts");
  const path = await about(given, () => resolveNew(given));
  checkApart(given, source, path);
  if (!isStore(path)) checkNew(given, path, options);
  else await checkFree(given, path);
  const mount = await mountForAWhile(path);
  const { mountpoint } = mount;
  return { directory: mountpoint, mountpoint, path: "", end: () => mount.end() };
}

/** Undefined outside of all spools, also for a path that is not there at all. */
async function placeOf(given: string): Promise<Place | undefined> {
  try {
    return await findPlace(given);
  } catch (error) {
    if (isMissingDeep(given)) return undefined;
    throw error;
  }
}

function isMissingDeep(given: string): boolean {
  try {
    statSync(resolve(given, ".."));
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
}

async function inMount(
  given: string,
  source: string,
  place: Place,
  isDry: boolean,
): Promise<Target> {
  await about(given, () => {
    try {
      if (statSync(given).isDirectory()) return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      if (!isDry) mkdirSync(given, { mode: 0o700 });
      return;
    }
    throw new CommandFailure(`${given}: not a directory`);
  });
  const directory = await about(given, () => resolveNew(given));
  checkApart(given, source, directory);
  const { mountpoint, path } = place;
  return { directory, mountpoint, path, end: async () => undefined };
}

function checkApart(given: string, source: string, target: string): void {
  if (!contains(source, target) && !contains(target, source)) return;
  throw new CommandFailure(
    `${given}: it and the directory to import must not lie inside each other`,
  );
}

function checkNew(given: string, path: string, { mayCreate, isDry }: TargetOptions): void {
  if (!isMissingOrEmpty(path)) {
    throw new CommandFailure(`${given}: not a mounted spool, no directory in one and not a store`);
  }
  if (mayCreate && !isDry) return;
  // An empty directory is often a mount point whose spool has not been mounted.
  throw new CommandFailure(
    `${given}: nothing is mounted there and it is not a store yet (--create makes one)`,
  );
}

async function checkFree(given: string, store: string): Promise<void> {
  const path = await about(given, () => realpathSync(store));
  const mountpoint = readMountpoint(path);
  const entry = mountpoint === undefined ? undefined : mountAt(readMounts(), mountpoint);
  if (entry?.source === path && isOnespool(entry)) {
    throw new CommandFailure(`${given}: is mounted at ${mountpoint}: name that instead`);
  }
  if (isHeld(path)) throw new CommandFailure(`${given}: another process has this store open`);
}

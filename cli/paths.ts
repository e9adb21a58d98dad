/** Paths as people give them, made absolute and free of symbolic links, also beside a dead mount. */
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { realpath } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { about } from "./failure.ts";
import { mountAt, readMounts } from "./mountinfo.ts";

/**
 * The directory itself is not touched where something is mounted on it: a mount whose server hangs would
 * hang us, one whose server is gone fails with ENOTCONN.
 */
export async function resolveMountpoint(given: string): Promise<string> {
  const path = resolve(given);
  if (path === "/") return path;
  const parent = await about(dirname(path), () => realpath(dirname(path)));
  const directory = join(parent, basename(path));
  if (mountAt(readMounts(), directory) !== undefined) return directory;
  return about(given, () => realpath(path));
}

/** Of a file that need not exist; its directory must. */
export async function resolveFile(given: string): Promise<string> {
  const path = resolve(given);
  try {
    return await realpath(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  return join(await realpath(dirname(path)), basename(path));
}

/** As realpath, for a path of which only the first directories need exist. */
export async function resolveNew(given: string): Promise<string> {
  const path = resolve(given);
  try {
    return await realpath(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || path === "/") throw error;
  }
  return join(await resolveNew(dirname(path)), basename(path));
}

/** Every directory that a path is in, the nearest first. */
export function directoriesAbove(path: string): string[] {
  const above = dirname(path);
  return above === path ? [] : [above, ...directoriesAbove(above)];
}

/** Whether nothing is there yet, so that a store may be made. */
export function isMissingOrEmpty(directory: string): boolean {
  try {
    return readdirSync(directory).length === 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return true;
    throw error;
  }
}

export function makeDirectory(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
}

/** In the store: where it is mounted, for those who are asked about a store that is in use. */
const MOUNTPOINT_FILE = "mountpoint";

export function mountpointFile(store: string): string {
  return join(store, MOUNTPOINT_FILE);
}

export function writeMountpoint(store: string, mountpoint: string): void {
  const { O_CREAT, O_NOFOLLOW, O_TRUNC, O_WRONLY } = constants;
  // The store may be another user's.
  const fd = openSync(mountpointFile(store), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW);
  try {
    writeFileSync(fd, `${mountpoint}\n`);
  } finally {
    closeSync(fd);
  }
}

export function removeMountpoint(store: string): void {
  rmSync(mountpointFile(store), { force: true });
}

/** The last line of a daemon's log, "" without one: what it could not tell anybody by itself. */
export function lastLogLine(store: string): string {
  try {
    return readFileSync(logFile(store), "utf8").trimEnd().split("\n").at(-1) ?? "";
  } catch {
    return "";
  }
}

/** Undefined when the store is not mounted, or was left by a server that died and is mounted no more. */
export function readMountpoint(store: string): string | undefined {
  try {
    return readFileSync(mountpointFile(store), "utf8").replace(/\n$/, "");
  } catch {
    return undefined;
  }
}

export function logFile(store: string): string {
  return join(store, "onespool.log");
}

/**
 * The mounts of this process's name space as /proc/self/mountinfo tells them (proc(5)). Reading it touches
 * no mount, so it is safe where one does not answer.
 */
import { readFileSync } from "node:fs";

export interface MountEntry {
  /** "major:minor": the same for every mount of one file system. */
  readonly device: string;
  /** Which directory of the file system is mounted; "/" unless it is a bind mount of a part. */
  readonly root: string;
  readonly mountpoint: string;
  readonly type: string;
  readonly source: string;
}

/** Blanks, line ends and backslashes stand as octal numbers. */
function unescapeField(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

export function parseMountinfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split("\n")) {
    const fields = line.split(" ");
    // A variable number of optional fields ends with a lone hyphen.
    const hyphen = fields.indexOf("-", 6);
    const [, , device, root, mountpoint] = fields;
    const [type, source] = fields.slice(hyphen + 1);
    if (hyphen === -1 || device === undefined || root === undefined) continue;
    if (mountpoint === undefined || type === undefined || source === undefined) continue;
    entries.push({
      device,
      root: unescapeField(root),
      mountpoint: unescapeField(mountpoint),
      type,
      source: unescapeField(source),
    });
  }
  return entries;
}

/** Mounts in the order in which they were made. */
export function readMounts(): MountEntry[] {
  return parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8"));
}

export function isOnespool(entry: MountEntry): boolean {
  return entry.type === "fuse.onespool";
}

/** What is mounted at exactly this directory; of several, the one on top. */
export function mountAt(mounts: readonly MountEntry[], directory: string): MountEntry | undefined {
  return mounts.findLast((entry) => entry.mountpoint === directory);
}

/** Whether a path is the directory or below it; both absolute. */
export function contains(directory: string, path: string): boolean {
  return directory === "/" || path === directory || path.startsWith(`${directory}/`);
}

/** The mount that an absolute path without symbolic links is in. */
export function mountOf(mounts: readonly MountEntry[], path: string): MountEntry | undefined {
  let found: MountEntry | undefined;
  for (const entry of mounts) {
    if (!contains(entry.mountpoint, path)) continue;
    if (found === undefined || entry.mountpoint.length >= found.mountpoint.length) found = entry;
  }
  return found;
}

/** A path's place in its file system, from that file system's root, without a leading slash. */
export function pathInside(entry: MountEntry, path: string): string {
  const below = path.slice(entry.mountpoint === "/" ? 0 : entry.mountpoint.length);
  return `${entry.root}/${below}`.split("/").filter(Boolean).join("/");
}

/** Where the whole file system of an entry is mounted: its root holds the control file. */
export function rootMount(
  mounts: readonly MountEntry[],
  entry: MountEntry,
): MountEntry | undefined {
  if (entry.root === "/") return entry;
  return mounts.findLast((other) => other.device === entry.device && other.root === "/");
}

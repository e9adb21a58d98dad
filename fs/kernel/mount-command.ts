/**
 * mount(8) and umount(8) as children, and what the kernel's mount table says: this process must never touch
 * a path in the mount that it serves, not even with stat(2).
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, realpathSync, writeFileSync, writeSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { rootNode } from "./abi.ts";
import { attributesChanged } from "./notification.ts";

export const fileSystemType = "fuse.onespool";

export interface CommandResult {
  readonly ok: boolean;
  /** The first line of what it said. */
  readonly message: string;
}

/** `descriptor`, if given, is the child's descriptor 3. */
export async function runCommand(
  command: string,
  args: readonly string[],
  descriptor?: number,
): Promise<CommandResult> {
  const child = spawn(command, args, {
    stdio: ["ignore", "ignore", "pipe", ...(descriptor === undefined ? [] : [descriptor])],
    env: { ...process.env, LC_ALL: "C" },
  });
  let message = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (message += text));
  try {
    const [code, signal] = (await once(child, "close")) as [number | null, string | null];
    if (signal !== null) message = `ended by ${signal}`;
    return { ok: code === 0, message: message.trim().split("\n")[0] ?? "" };
  } catch (error) {
    return { ok: false, message: (error as Error).message };
  }
}

export interface TableEntry {
  /** "major:minor" of the file system. */
  readonly device: string;
  readonly type: string;
}

/** What is mounted on exactly this canonical path; of several the topmost. */
export async function mountedAt(directory: string): Promise<TableEntry | undefined> {
  return findMount(await readFile("/proc/self/mountinfo", "utf8"), directory);
}

/** Fields as in proc_pid_mountinfo(5): 3 is the device, 5 the mount point, the type follows a lone hyphen. */
export function findMount(mountinfo: string, directory: string): TableEntry | undefined {
  let found: TableEntry | undefined;
  for (const line of mountinfo.split("\n")) {
    const fields = line.split(" ");
    const [, , device, , mountpoint] = fields;
    const type = fields[fields.indexOf("-", 6) + 1];
    if (device === undefined || mountpoint === undefined || type === undefined) continue;
    if (unescapeOctal(mountpoint) === directory) found = { device, type };
  }
  return found;
}

/** Blanks, line ends and backslashes stand as three octal digits, each for one byte. */
function unescapeOctal(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** INIT can only lower the kernel's default of 128 KiB. Without sysfs it stays: nothing but speed is lost. */
export async function setReadAhead(device: string, kib: number): Promise<void> {
  try {
    await writeFile(`/sys/class/bdi/${device}/read_ahead_kb`, `${kib}`);
  } catch {
    // Read-only or absent sysfs.
  }
}

/** An unanswered request must not keep the command that aborts it. */
const abortMsMax = 2000;

/**
 * Ends a connection whose server is about to end, and waits for nothing else: requests in flight get
 * ECONNABORTED. The mount stays as a dead one where the kernel's control file system is at hand, else
 * it is detached too, if it is not yet (no `directory`). Synchronous, for an "exit" listener.
 */
export function abortConnection(device: string, directory: string | undefined): void {
  const [, minor = ""] = device.split(":");
  try {
    writeFileSync(`/sys/fs/fuse/connections/${minor}/abort`, "1");
  } catch {
    if (directory === undefined) return;
    // Not mounted there. -c: a path in the mount must not be looked at from here.
    const args = ["-i", "-c", "-f", "-l", directory];
    spawnSync("umount", args, { stdio: "ignore", timeout: abortMsMax });
  }
}

/**
 * Ends the connection of the mount of which nobody will go on serving, for whoever holds its device: as long as somebody
 * else does too, a dead process that hangs in the kernel, closing it ends nothing. Whether one of ours is there; the mount
 * itself may stay. `device`: only this one, which others may have covered or replaced by theirs.
 */
export function abortMount(mountpoint: string, device?: string): boolean {
  try {
    const directory = join(realpathSync(dirname(mountpoint)), basename(mountpoint));
    const entry = findMount(readFileSync("/proc/self/mountinfo", "utf8"), directory);
    if (entry === undefined || !isOurs(entry, device)) return false;
    abortConnection(entry.device, directory);
    return true;
  } catch {
    // Without the directory above there is none.
    return false;
  }
}

/** `device`: of the file system that is meant, if it is known. */
export function isOurs(entry: TableEntry, device: string | undefined): boolean {
  return entry.type === fileSystemType && (device === undefined || entry.device === device);
}

/**
 * The same for a mount that is in no table, since somebody has detached it: through its device, of which `descriptor` is
 * one. As long as the file system is there its number is nobody else's.
 */
export function abortDetached(descriptor: number, device: string): void {
  try {
    writeSync(descriptor, attributesChanged(rootNode));
    abortConnection(device, undefined);
  } catch {
    // The kernel does not have the root any more.
  }
}

/**
 * Takes accounts that a test has made out of the system again, with all that runs as them; says so where it cannot. Needs
 * root.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import type { Socket } from "node:net";

/** Other tests change /etc/passwd too, and what is killed takes its time to go. */
const REMOVE_MS_MAX = 30_000;
const AGAIN_MS = 200;
const COMMAND_MS_MAX = 60_000;

/** Throws when the account, its group or anything of it in the real /var/mail stays, or was there. */
export function removeAccount(name: string): void {
  const uid = uidOf(name);
  let said = "";
  for (const deadline = Date.now() + REMOVE_MS_MAX; uidOf(name) !== undefined;) {
    if (Date.now() > deadline) throw new Error(`the user ${name} stays: ${said}`);
    for (const pid of processesOf(uid!)) kill(pid);
    const { status, stderr } = spawnSync("userdel", [name], {
      encoding: "utf8",
      timeout: COMMAND_MS_MAX,
    });
    said = stderr;
    if (status !== 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, AGAIN_MS);
  }
  if (isIn("/etc/group", name)) throw new Error(`the group ${name} stays: ${said}`);
  const mailbox = `/var/mail/${name}`;
  if (existsSync(mailbox)) {
    rmSync(mailbox);
    throw new Error(`a program of the test has made ${mailbox}, outside of the mount`);
  }
}

/**
 * Takes the accounts away when this process ends, however it does, before removeAccount() has. The returned function calls that
 * off.
 */
export function guardAccounts(names: readonly string[]): () => void {
  const script = `
    read line
    for name; do
      ps -o pid= -U "$name" | xargs -r kill -KILL
      for try in 1 2 3; do userdel "$name" && break; sleep 1; done
    done`;
  const guard = spawn("sh", ["-c", script, "sh", ...names], {
    cwd: "/",
    stdio: ["pipe", "ignore", "ignore"],
    // An interrupt of the tests must not end it.
    detached: true,
  });
  guard.unref();
  (guard.stdin as Socket).unref();
  return () => guard.kill("SIGKILL");
}

function uidOf(name: string): number | undefined {
  return isIn("/etc/passwd", name) ? Number(entry("/etc/passwd", name)!.split(":")[2]) : undefined;
}

function isIn(file: string, name: string): boolean {
  return entry(file, name) !== undefined;
}

function entry(file: string, name: string): string | undefined {
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.find((line) => line.startsWith(`${name}:`));
}

/** Ids of those that run as the user. */
function processesOf(uid: number): number[] {
  return readdirSync("/proc").flatMap((directory) => {
    if (!/^\d+$/.test(directory)) return [];
    try {
      const status = readFileSync(`/proc/${directory}/status`, "latin1");
      const [, ids = ""] = /^Uid:\s+(.*)$/m.exec(status) ?? [];
      return ids.split(/\s+/).includes(String(uid)) ? [Number(directory)] : [];
    } catch {
      // It ended meanwhile.
      return [];
    }
  });
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended meanwhile.
  }
}

/** Takes a mount away through the system's own commands: this process touches no path inside it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { CommandFailure, reasonOf } from "./failure.ts";

const TIMEOUT_MS = 30_000;
/** The spool's own herald may be in the mount for a moment (fs/kernel/herald/). */
const BUSY_ATTEMPTS = 4;
const BUSY_PAUSE_MS = 150;

interface Outcome {
  readonly ok: boolean;
  readonly signalled: boolean;
  readonly message: string;
}

async function runCommand(
  command: string,
  args: readonly string[],
  timeoutMs: number = TIMEOUT_MS,
): Promise<Outcome> {
  const child = spawn(command, args, {
    stdio: ["ignore", "ignore", "pipe"],
    timeout: timeoutMs,
    killSignal: "SIGKILL",
    env: { ...process.env, LC_ALL: "C" },
  });
  let message = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (message += text));
  try {
    const [code, signal] = (await once(child, "close")) as [number | null, string | null];
    const signalled = signal !== null;
    if (signalled) message = `${command} did not end within ${timeoutMs / 1000} s`;
    return { ok: code === 0, signalled, message: message.trim().split("\n")[0] ?? "" };
  } catch (error) {
    return { ok: false, signalled: false, message: `${command}: ${reasonOf(error)}` };
  }
}

/** `lazy` detaches it at once and lets programs go on with the files they have open. */
export async function unmount(mountpoint: string, lazy: boolean): Promise<void> {
  // -i: no helper program of the type fuse.onespool is looked for. -c: the path has no symbolic links,
  // and looking at it may hang.
  const [command, args] =
    process.getuid?.() === 0
      ? ["umount", ["-i", "-c", ...(lazy ? ["-l"] : []), mountpoint]]
      : ["fusermount", ["-u", ...(lazy ? ["-z"] : []), "--", mountpoint]];
  let { ok, message } = await runCommand(command, args);
  for (let attempt = 1; attempt < BUSY_ATTEMPTS && !ok && /busy/i.test(message); attempt += 1) {
    await sleep(BUSY_PAUSE_MS);
    ({ ok, message } = await runCommand(command, args));
  }
  if (ok) return;
  if (/busy/i.test(message)) {
    throw new CommandFailure(`${mountpoint}: a program still uses it (--lazy detaches it anyway)`);
  }
  // What fusermount says of a mount that another user made depends on what it finds in /etc/mtab.
  if (command === "fusermount" && /not found in|not permitted|denied/i.test(message)) {
    throw new CommandFailure(`${mountpoint}: only root and the user who mounted it may unmount it`);
  }
  throw new CommandFailure(`${mountpoint}: ${message || "could not be unmounted"}`);
}

const PROBE_MS = 5_000;

/**
 * Whether a mount's server answers; "dead" when it is gone. In a process of its own, which a signal ends
 * also while it waits for a server that hangs.
 */
export async function probe(mountpoint: string): Promise<"alive" | "dead" | "hung"> {
  const { ok, message, signalled } = await runCommand("stat", ["-f", "--", mountpoint], PROBE_MS);
  if (signalled) return "hung";
  return !ok && /not connected|connection abort/i.test(message) ? "dead" : "alive";
}

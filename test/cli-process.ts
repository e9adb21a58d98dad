/** Runs the compiled `onespool` command for the tests: this process never touches a mount by itself. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isAlive } from "./system/mount.ts";

export const command = fileURLToPath(new URL("../cli/onespool.js", import.meta.url));

/** Frees a test that hangs; no test waits for it. */
const TIMEOUT_MS = 60_000;

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export async function collect(child: ChildProcess, input?: string | Buffer): Promise<Ended> {
  let stdout = "";
  let stderr = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdin?.end(input);
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

export function start(program: string, args: readonly string[]): ChildProcess {
  return spawn(program, args, {
    stdio: "pipe",
    timeout: TIMEOUT_MS,
    killSignal: "SIGKILL",
    env: { ...process.env, LC_ALL: "C" },
  });
}

export async function run(program: string, ...args: string[]): Promise<Ended> {
  return collect(start(program, args));
}

export async function onespool(...args: string[]): Promise<Ended> {
  return run(process.execPath, command, ...args);
}

export async function onespoolFrom(input: string | Buffer, ...args: string[]): Promise<Ended> {
  return collect(start(process.execPath, [command, ...args]), input);
}

/** A foreground mount; resolves when it has printed its line. */
export async function serve(...args: string[]): Promise<{ child: ChildProcess; line: string }> {
  const child = spawn(process.execPath, [command, "mount", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return { child, line: line.toString() };
}

/** Why the kernel binding cannot be tested here; false when it can. */
export function noKernelBinding(): string | false {
  if (process.getuid?.() !== 0) return "the kernel binding needs root";
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
    return false;
  } catch {
    return "/dev/fuse is missing or may not be used";
  }
}

/** The process that has a store open. */
export function servingProcess(store: string): number {
  return Number(readFileSync(join(store, "lock"), "latin1"));
}

/**
 * kill -9 of the process that serves a store's mount, and first of its keeper, which would start another one. Resolves
 * when both are dead.
 */
export async function killWithKeeper(store: string): Promise<void> {
  const serving = servingProcess(store);
  const keeper = Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${serving}/stat`, "latin1"))![1]);
  // Without its keeper it would unmount, if it had the time.
  process.kill(serving, "SIGSTOP");
  process.kill(keeper, "SIGKILL");
  process.kill(serving, "SIGKILL");
  while (isAlive(keeper) || isAlive(serving)) await sleep(5);
}

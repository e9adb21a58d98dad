/**
 * The spool is `onespool mount`, which ends when its channel closes. With the kernel binding the supervisor holds what
 * keeps its mount up while it is dead (fs/takeover/kept.ts): its successor goes on with that, and programs that have files
 * open wait for it. One that dies again and again as soon as it has begun is not waited for any longer: programs
 * get errors, and a new mount is made.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { abortMount } from "../../fs/kernel/mount-command.ts";
import { EXIT_REPLACE, openKept, QUICK_DEATHS_MAX, type Kept } from "../../fs/takeover/kept.ts";
import type { SpoolConfig } from "../config/config.ts";
import { BackOff } from "../process/back-off.ts";
import type { Word } from "./kept-process.ts";

const COMMAND = fileURLToPath(new URL("../../cli/onespool.js", import.meta.url));
/** Programs wait meanwhile. */
const DELAY_MS_MIN = 20;
/** One that has served for so long did not die of what it found when it began. */
const LIFE_MS_MIN = 500;

/** Until nobody waits for a mount to be taken away. */
const DETACH_MS_MAX = 10_000;

/** What `onespool mount` tells its starter. */
type SpoolMessage =
  | { readonly ready: string; readonly warnings: readonly string[] }
  | { readonly failure: string; readonly exitCode: number };

export function bindingOf(config: SpoolConfig): "kernel" | "fuse-native" {
  if (config.binding !== "auto") return config.binding;
  return process.getuid?.() === 0 ? "kernel" : "fuse-native";
}

export class SpoolKeeper {
  readonly backOff = new BackOff({ delayMsMin: DELAY_MS_MIN, lifeMsMin: LIFE_MS_MIN });
  #kept: Kept | undefined;
  #isSuccessor = false;
  #quickDeaths = 0;
  #stuckPid = 0;
  #mount = "";

  /** `deliverUid` is the account of the workers; undefined if they need no leave: they are who serves. */
  spawn(config: SpoolConfig, deliverUid: number | undefined): ChildProcess {
    const { store, mount, reclaim } = config;
    this.#mount = mount;
    const binding = bindingOf(config);
    if (binding === "kernel") this.#kept ??= tryOpenKept();
    const options = deliverUid === undefined ? [] : ["-o", `deliver=${deliverUid}`];
    if (!reclaim) options.push("-o", "noreclaim");
    if (this.#kept !== undefined) options.push("--kept");
    if (this.#isSuccessor) options.push("--successor");
    if (this.#isSuccessor && this.#stuckPid !== 0) options.push(`${this.#stuckPid}`);
    this.#stuckPid = 0;
    const args = ["mount", store, mount, "--binding", binding, "--while-connected"];
    return spawn(process.execPath, [...process.execArgv, COMMAND, ...args, ...options], {
      // A directory that stays.
      cwd: "/",
      detached: true,
      // Its line is printed by the supervisor.
      stdio: ["ignore", "ignore", "inherit", "ipc", ...(this.#kept?.descriptors ?? [])],
      // As in the command's first line, which we did not come through.
      env: { ...process.env, MALLOC_ARENA_MAX: "1" },
    });
  }

  /** It is dead, and its successor must not wait for its locks. */
  stuck(pid: number): void {
    this.#stuckPid = pid;
  }

  /** It has ended, `servedMs` after it was ready. What it leaves is for a successor, or its mount is gone. */
  ended(code: number | null, servedMs: number): void {
    this.#quickDeaths = servedMs < LIFE_MS_MIN ? this.#quickDeaths + 1 : 0;
    const isGivenUp = this.#quickDeaths >= QUICK_DEATHS_MAX;
    // One that is dead and not gone holds the device too.
    if (isGivenUp && this.#kept !== undefined) abortMount(this.#mount);
    if (code === 0 || code === EXIT_REPLACE || isGivenUp) this.close();
    this.#isSuccessor = this.#kept !== undefined;
  }

  /** The kernel ends the connection when the process has ended too. */
  close(): void {
    this.#kept?.close();
    this.#kept = undefined;
    this.#quickDeaths = 0;
  }
}

/** Without the device the process itself says what is missing. */
function tryOpenKept(): Kept | undefined {
  try {
    return openKept();
  } catch {
    return undefined;
  }
}

export function hearSpool(message: unknown, onReady: (line: string) => void): Word {
  const word = message as SpoolMessage;
  if ("failure" in word) {
    return { kind: "failed", message: word.failure, exitCode: word.exitCode };
  }
  onReady(word.ready);
  return { kind: "ready" };
}

/**
 * Takes a mount away whose server was killed. In a process of its own, since this one must not hang at it. Resolves when
 * it is gone, or when that takes too long.
 */
export function detachMount(mount: string): Promise<void> {
  const args = [COMMAND, "umount", "--lazy", mount];
  const child = spawn(process.execPath, args, { cwd: "/", detached: true, stdio: "ignore" });
  child.unref();
  return new Promise((resolve) => {
    const late = setTimeout(resolve, DETACH_MS_MAX);
    const end = (): void => {
      clearTimeout(late);
      resolve();
    };
    child.once("close", end);
    child.once("error", end);
  });
}

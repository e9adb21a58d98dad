/**
 * The spool is `onespool mount`, which ends when its channel closes. With the kernel binding the supervisor keeps its
 * mount up while it is dead (fs/takeover/lives.ts); where that is given up or cannot be, a new mount is made.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Lives, ServingMessage, Started } from "../../fs/takeover/lives.ts";
import type { SpoolConfig } from "../config/config.ts";
import type { Word } from "./kept-process.ts";

const COMMAND = fileURLToPath(new URL("../../cli/onespool.js", import.meta.url));
/** Until nobody waits for a mount to be taken away. */
const DETACH_MS_MAX = 10_000;

export function bindingOf(config: SpoolConfig): "kernel" | "fuse-native" {
  if (config.binding !== "auto") return config.binding;
  return process.getuid?.() === 0 ? "kernel" : "fuse-native";
}

/** `deliverUid` is the account of the workers; undefined if they need no leave: they are who serves. */
export function spawnSpool(
  lives: Lives,
  config: SpoolConfig,
  deliverUid: number | undefined,
): ChildProcess {
  const { store, mount, reclaim } = config;
  const binding = bindingOf(config);
  if (binding === "kernel") tryToKeep(lives);
  const options = deliverUid === undefined ? [] : ["-o", `deliver=${deliverUid}`];
  if (!reclaim) options.push("-o", "noreclaim");
  // In a directory that stays.
  return lives.spawn([COMMAND, "mount", store, mount, "--binding", binding, ...options], "/");
}

/** What it leaves is for a successor, or its mount is gone. */
export function spoolEnded(lives: Lives, code: number | null, servedMs: number): void {
  if (lives.ended(code, servedMs) !== "given up") return;
  lives.abort();
  lives.close();
}

/** Without the device the process itself says what is missing. */
function tryToKeep(lives: Lives): void {
  try {
    lives.keep();
  } catch {
    // It is started without.
  }
}

export function hearSpool(message: unknown, onReady: (started: Started) => void): Word {
  const word = message as ServingMessage;
  if ("failure" in word) {
    return { kind: "failed", message: word.failure, exitCode: word.exitCode };
  }
  onReady(word);
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

/** The spool is `onespool mount`, which replaces a dead mount by itself and ends when its channel closes. */
import { spawn, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { SpoolConfig } from "../config/config.ts";
import type { Word } from "./kept-process.ts";

const COMMAND = fileURLToPath(new URL("../../cli/onespool.js", import.meta.url));

/** What `onespool mount` tells its starter. */
type SpoolMessage =
  | { readonly ready: string; readonly warnings: readonly string[] }
  | { readonly failure: string; readonly exitCode: number };

export function bindingOf(config: SpoolConfig): "kernel" | "fuse-native" {
  if (config.binding !== "auto") return config.binding;
  return process.getuid?.() === 0 ? "kernel" : "fuse-native";
}

/** `deliverUid` is the account of the workers; undefined if they need no leave: they are who serves. */
export function spawnSpool(config: SpoolConfig, deliverUid: number | undefined): ChildProcess {
  const { store, mount } = config;
  const options = deliverUid === undefined ? [] : ["-o", `deliver=${deliverUid}`];
  const args = ["mount", store, mount, "--binding", bindingOf(config), "--while-connected"];
  return spawn(process.execPath, [...process.execArgv, COMMAND, ...args, ...options], {
    // A directory that stays.
    cwd: "/",
    detached: true,
    // Its line is printed by the supervisor.
    stdio: ["ignore", "ignore", "inherit", "ipc"],
    // As in the command's first line, which we did not come through.
    env: { ...process.env, MALLOC_ARENA_MAX: "1" },
  });
}

export function hearSpool(message: unknown, onReady: (line: string) => void): Word {
  const word = message as SpoolMessage;
  if ("failure" in word) {
    return { kind: "failed", message: word.failure, exitCode: word.exitCode };
  }
  onReady(word.ready);
  return { kind: "ready" };
}

/** Takes a mount away whose server was killed. In a process of its own, since this one must not hang at it. */
export function detachMount(mount: string): void {
  const args = [COMMAND, "umount", "--lazy", mount];
  spawn(process.execPath, args, { cwd: "/", detached: true, stdio: "ignore" }).unref();
}

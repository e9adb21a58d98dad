/** Starts the process that serves a mount in the background. */
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Failed, ServingMessage, Started } from "../fs/takeover/lives.ts";
import { CommandFailure, EXIT_FAILED, reasonOf } from "./failure.ts";
import { isMissingOrEmpty, lastLogLine, logFile } from "./paths.ts";
import type { Binding } from "./serving.ts";

const COMMAND = fileURLToPath(new URL("./onespool.js", import.meta.url));

export interface DaemonSettings {
  readonly binding: Binding | "auto";
  /** Each as after -o of `onespool mount`. */
  readonly options: readonly string[];
}

/** A process may be seen to end before its last message: that is here when its channel is closed too. */
export function firstMessage(child: ChildProcess, ifNone: () => Failed): Promise<ServingMessage> {
  return new Promise<ServingMessage>((settle) => {
    child.once("message", (value) => settle(value as ServingMessage));
    child.once("error", (error) => settle({ failure: reasonOf(error), exitCode: EXIT_FAILED }));
    child.once("close", () => settle(ifNone()));
  });
}

/**
 * Resolves when the mount answers. The store exists before its log file does, which lies in it; the log's
 * descriptor is the daemon's stdout and stderr.
 */
export async function startDaemon(
  store: string,
  mountpoint: string,
  { binding, options }: DaemonSettings,
): Promise<Started> {
  if (isMissingOrEmpty(store)) {
    const { Store } = await import("../fs/store/store.ts");
    const made = await Store.open(store, { create: true });
    await made.close();
  }
  const log = openSync(logFile(store), "a", 0o600);
  const mountOptions = options.flatMap((value) => ["-o", value]);
  const args = ["mount", store, mountpoint, "--binding", binding, ...mountOptions];
  const child = spawn(process.execPath, [...process.execArgv, COMMAND, ...args], {
    cwd: "/",
    // As in the command's first line, which a daemon's starter may not have come through.
    env: { ...process.env, MALLOC_ARENA_MAX: "1" },
    detached: true,
    stdio: ["ignore", log, log, "ipc"],
  });
  closeSync(log);
  const message = await firstMessage(child, () => {
    return { failure: `${lastLogLine(store)} (see ${logFile(store)})`, exitCode: EXIT_FAILED };
  });
  if ("failure" in message) throw new CommandFailure(message.failure, message.exitCode);
  child.disconnect();
  child.unref();
  return message;
}

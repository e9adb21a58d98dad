/** `onespool mount`: in the foreground, or as a daemon that has answered when the command returns. */
import { spawn } from "node:child_process";
import { closeSync, openSync, statSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { Command, Option } from "commander";
import { about, CommandFailure, EXIT_FAILED, reasonOf, UsageFailure } from "./failure.ts";
import { parseMountOptions } from "./mount-options.ts";
import { contains, isOnespool, mountAt, mountOf, readMounts } from "./mountinfo.ts";
import {
  directoriesAbove,
  isMissingOrEmpty,
  lastLogLine,
  logFile,
  makeDirectory,
  resolveMountpoint,
  resolveNew,
} from "./paths.ts";
import type { Binding } from "./serving.ts";
import { probe, unmount } from "./unmounting.ts";

interface Flags {
  readonly binding: Binding | "auto";
  readonly whileConnected?: boolean;
  readonly daemon?: boolean;
  readonly options: readonly string[];
}

/** What a daemon tells the command that started it: once, and then it is on its own. */
type Message =
  | { readonly ready: string; readonly warnings: readonly string[] }
  | { readonly failure: string; readonly exitCode: number };

const help = `
STORE is made if it is missing or empty. The command prints one line when the mount
answers and then serves it until SIGINT or SIGTERM (it unmounts and closes the store; a
second signal ends it at once) or until \`onespool umount\`.

Bindings: kernel speaks to /dev/fuse itself and needs root; fuse-native mounts for any
user through libfuse2 and lacks locks, ioctl and callers (native-notes/README.md).
auto takes kernel for root and fuse-native for others.

Mount options (-o, comma-separated):
  deliver=UID             this user may append to mailboxes and create them, by deliver
                          requests alone, whoever owns them
  deliver_dirs=/A[:/B]    only under these directories, as paths from the mount's root;
                          they are looked up anew for each request
Both need the kernel binding.`;

/** Returns the mount point's path; a mount of ours whose server died is taken away first. */
async function prepareMountpoint(given: string): Promise<string> {
  const mountpoint = await resolveMountpoint(given);
  const entry = mountAt(readMounts(), mountpoint);
  if (entry === undefined || !isOnespool(entry)) {
    if (!(await about(given, () => statSync(mountpoint))).isDirectory()) {
      throw new CommandFailure(`${given}: not a directory`);
    }
    return mountpoint;
  }
  if ((await probe(mountpoint)) !== "dead") {
    throw new CommandFailure(`${given}: ${entry.source} is mounted there already`);
  }
  await unmount(mountpoint, true);
  process.stderr.write(`onespool: ${given}: removed a mount whose server was gone\n`);
  return mountpoint;
}

/**
 * A store under its own mount could be reached only through itself, one in another store would be in the way of
 * that one's files, and one in another spool would be served by a process that waits for another to sync.
 */
async function prepareStore(given: string, mountpoint: string): Promise<string> {
  const path = await about(given, () => resolveNew(given));
  if (contains(path, mountpoint) || contains(mountpoint, path)) {
    throw new CommandFailure(`${given}: store and mount point must not lie inside each other`);
  }
  const entry = mountOf(readMounts(), path);
  if (entry !== undefined && isOnespool(entry)) {
    throw new CommandFailure(`${given}: lies in the spool that is mounted at ${entry.mountpoint}`);
  }
  const { isStore } = await import("../fs/store/directory.ts");
  const outer = directoriesAbove(path).find(isStore);
  if (outer !== undefined) throw new CommandFailure(`${given}: lies in the store ${outer}`);
  return about(given, () => {
    if (isMissingOrEmpty(path)) makeDirectory(path);
    return realpath(path);
  });
}

/**
 * The store exists before its log file does, which lies in it. Its descriptor is the daemon's stdout
 * and stderr.
 */
async function startDaemon(store: string, mountpoint: string, flags: Flags): Promise<number> {
  if (isMissingOrEmpty(store)) {
    const { Store } = await import("../fs/store/store.ts");
    const made = await Store.open(store, { create: true });
    await made.close();
  }
  const log = openSync(logFile(store), "a", 0o600);
  const options = flags.options.flatMap((value) => ["-o", value]);
  const args = ["mount", store, mountpoint, "--binding", flags.binding, ...options];
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, ...args], {
    cwd: "/",
    // As in the command's first line, which a daemon's starter may not have come through.
    env: { ...process.env, MALLOC_ARENA_MAX: "1" },
    detached: true,
    stdio: ["ignore", log, log, "ipc"],
  });
  closeSync(log);
  const message = await new Promise<Message>((settle) => {
    child.once("message", (value) => settle(value as Message));
    child.once("error", (error) => settle({ failure: reasonOf(error), exitCode: EXIT_FAILED }));
    child.once("exit", () => {
      settle({ failure: `${lastLogLine(store)} (see ${logFile(store)})`, exitCode: 1 });
    });
  });
  if ("failure" in message) throw new CommandFailure(message.failure, message.exitCode);
  child.disconnect();
  child.unref();
  for (const warning of message.warnings) process.stderr.write(`onespool: ${warning}\n`);
  process.stdout.write(`${message.ready}\n`);
  return 0;
}

/** To the starter of a daemon, which does not wait for more. Undefined in the foreground. */
function tellStarter(message: Message): boolean {
  return process.send?.(message, undefined, undefined, () => undefined) !== undefined;
}

async function mount(storeGiven: string, mountpointGiven: string, flags: Flags): Promise<void> {
  const options = parseMountOptions(flags.options);
  const root = process.getuid?.() === 0;
  const binding = flags.binding === "auto" ? (root ? "kernel" : "fuse-native") : flags.binding;
  if (options.deliverUid !== undefined && binding === "fuse-native") {
    throw new UsageFailure(
      "-o deliver: fuse-native does not tell who calls (--binding kernel does)",
    );
  }
  const mountpoint = await prepareMountpoint(mountpointGiven);
  const store = await prepareStore(storeGiven, mountpoint);
  if (flags.daemon === true) {
    process.exitCode = await startDaemon(store, mountpoint, flags);
    return;
  }
  const { serve } = await import("./serving.ts");
  const onReady = (line: string, warnings: readonly string[]): void => {
    for (const warning of warnings) process.stderr.write(`onespool: ${warning}\n`);
    process.stdout.write(`${line}\n`);
    const told = tellStarter({ ready: line, warnings });
    // A starter that was stopped meanwhile has closed the channel already.
    if (told && process.connected && flags.whileConnected !== true) process.disconnect();
  };
  process.exitCode = await about(storeGiven, () =>
    serve({ store, mountpoint, binding, options, onReady }),
  );
  leaveStarter();
}

/** An open channel would keep this process alive. */
function leaveStarter(): void {
  process.off("disconnect", unmountAndEnd);
  if (process.connected) process.disconnect();
}

function unmountAndEnd(): void {
  process.kill(process.pid, "SIGTERM");
}

/** A starter that ended, however it ended, leaves no mount behind that nobody looks after. */
function endWithStarter(): void {
  if (!process.connected) throw new UsageFailure("--while-connected: there is no channel");
  process.once("disconnect", unmountAndEnd);
}

async function mountOrTell(store: string, mountpoint: string, flags: Flags): Promise<void> {
  try {
    if (flags.whileConnected === true) endWithStarter();
    await mount(store, mountpoint, flags);
  } catch (error) {
    const exitCode = error instanceof CommandFailure ? error.exitCode : EXIT_FAILED;
    if (process.connected) tellStarter({ failure: reasonOf(error), exitCode });
    leaveStarter();
    throw error;
  }
}

export function mountCommand(): Command {
  const binding = new Option("-b, --binding <binding>", "what carries the mount")
    .choices(["auto", "kernel", "fuse-native"])
    .default("auto");
  // For `onespool serve`, which starts this command and keeps the channel open.
  const whileConnected = new Option("--while-connected").hideHelp();
  return new Command("mount")
    .description("serve a store as a directory")
    .argument("<store>", "the directory that holds the store")
    .argument("<mountpoint>", "the directory to mount it at")
    .addOption(binding)
    .addOption(whileConnected)
    .option("-d, --daemon", "serve in the background, with the log in STORE/onespool.log")
    .option(
      "-o, --options <options>",
      "mount options, see below",
      (value: string, previous: readonly string[]) => [...previous, value],
      [] as readonly string[],
    )
    .addHelpText("after", help)
    .action(mountOrTell);
}

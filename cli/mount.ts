/** `onespool mount`: in the foreground, or as a daemon that has answered when the command returns. */
import { Command, Option } from "commander";
import { InvariantError } from "../base/assert.ts";
import { servingOptions, type ServingMessage, type Started } from "../fs/takeover/lives.ts";
import { about, CommandFailure, EXIT_FAILED, reasonOf, UsageFailure } from "./failure.ts";
import { startDaemon } from "./mount-daemon.ts";
import { chooseBinding, parseMountOptions } from "./mount-options.ts";
import { keep } from "./keeper.ts";
import { prepareMountpoint, prepareStore } from "./mount-places.ts";
import { resolveMountpoint } from "./paths.ts";
import { orphanEnded } from "./predecessor.ts";
import type { Binding } from "./serving.ts";

interface Flags {
  readonly binding: Binding | "auto";
  readonly whileConnected?: boolean;
  readonly kept?: boolean;
  /** With the pid of a predecessor that is dead and not gone. */
  readonly successor?: true | string;
  readonly daemon?: boolean;
  readonly options: readonly string[];
}

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
  noexec                  no program can be run from the mount
  noreclaim               give space back only when \`onespool reclaim\` says so
All but noreclaim need the kernel binding.`;

function printReady({ ready, warnings }: Started): void {
  for (const warning of warnings) process.stderr.write(`onespool: ${warning}\n`);
  process.stdout.write(`${ready}\n`);
}

/** To the starter of a daemon, which does not wait for more. Undefined in the foreground. */
function tellStarter(message: ServingMessage): boolean {
  return process.send?.(message, undefined, undefined, () => undefined) !== undefined;
}

async function mount(storeGiven: string, mountpointGiven: string, flags: Flags): Promise<void> {
  const options = parseMountOptions(flags.options);
  const binding = chooseBinding(flags.binding, options);
  if (binding === "kernel" && flags.daemon !== true && flags.kept !== true) {
    return keepMount(storeGiven, mountpointGiven, flags);
  }
  const whileConnected = flags.whileConnected === true;
  const isSuccessor = flags.successor !== undefined;
  if (whileConnected && !isSuccessor) await orphanEnded(storeGiven);
  const mountpoint = await (isSuccessor
    ? resolveMountpoint(mountpointGiven)
    : prepareMountpoint(mountpointGiven));
  const store = await prepareStore(storeGiven, mountpoint);
  if (flags.daemon === true) {
    printReady(await startDaemon(store, mountpoint, flags));
    return;
  }
  const { serve } = await import("./serving.ts");
  const onReady = (started: Started): void => {
    printReady(started);
    const told = tellStarter(started);
    // A starter that was stopped meanwhile has closed the channel already.
    if (told && process.connected && !whileConnected) process.disconnect();
  };
  process.exitCode = await about(storeGiven, () =>
    serve({
      store,
      mountpoint,
      binding,
      options,
      whileConnected,
      kept: flags.kept === true ? { isSuccessor, stuckPid: Number(flags.successor) } : undefined,
      onReady,
    }),
  );
  leaveStarter();
}

/** In this process nothing is served: it starts the one that does, and its successors. */
async function keepMount(store: string, mountpoint: string, flags: Flags): Promise<void> {
  const options = flags.options.flatMap((value) => ["-o", value]);
  const onReady = ({ ready, warnings }: Started): void => {
    // Its warnings the other process has written itself.
    process.stdout.write(`${ready}\n`);
    const told = tellStarter({ ready, warnings });
    if (told && process.connected && flags.whileConnected !== true) process.disconnect();
  };
  process.exitCode = await keep({
    args: [store, mountpoint, "--binding", "kernel", ...options],
    mountpoint: await resolveMountpoint(mountpoint),
    onReady,
  });
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
    const isTold = process.connected && tellStarter({ failure: reasonOf(error), exitCode });
    leaveStarter();
    // The keeper says it, but for a fault of this program: its stack is what helps.
    if (!isTold || flags.kept !== true || error instanceof InvariantError) throw error;
    process.exitCode = exitCode;
  }
}

export function mountCommand(): Command {
  const binding = new Option("-b, --binding <binding>", "what carries the mount")
    .choices(["auto", "kernel", "fuse-native"])
    .default("auto");
  // For `onespool serve`, which starts this command and keeps the channel open.
  const whileConnected = new Option(servingOptions.whileConnected).hideHelp();
  // For a keeper, which hands over what it holds.
  const kept = new Option(servingOptions.kept).hideHelp();
  const successor = new Option(`${servingOptions.successor} [pid]`).hideHelp();
  return new Command("mount")
    .description("serve a store as a directory")
    .argument("<store>", "the directory that holds the store")
    .argument("<mountpoint>", "the directory to mount it at")
    .addOption(binding)
    .addOption(whileConnected)
    .addOption(kept)
    .addOption(successor)
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

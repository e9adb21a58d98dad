/**
 * /sbin/mount.fuse.onespool, which mount(8) runs for fstab entries and systemd's mount units of the type
 * fuse.onespool: a daemon serves the mount, and this returns when it answers. Other than `onespool mount` it
 * makes no store: at boot a missing one is a disk that was not mounted, and mail would go into a new store.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Command, CommanderError } from "commander";
import { InvariantError } from "../base/assert.ts";
import { StoreError } from "../fs/store/errors.ts";
import { about, CommandFailure, reasonOf, UsageFailure } from "./failure.ts";
import { startDaemon } from "./mount-daemon.ts";
import { parseHelperOptions } from "./mount-helper-options.ts";
import { chooseBinding, parseMountOptions } from "./mount-options.ts";
import { prepareMountpoint, prepareStore } from "./mount-places.ts";
import { readMounts, isOnespool } from "./mountinfo.ts";
import { resolveNew } from "./paths.ts";

/** mount(8), "EXIT STATUS". */
const EXIT_USAGE = 1;
const EXIT_FAILED = 32;

const TYPE = "fuse.onespool";
/** As long as `onespool umount` waits for a store to be closed. */
const CLOSE_TIMEOUT_MS = 60_000;
const POLL_MS = 50;

interface Flags {
  readonly options: readonly string[];
  readonly type?: string;
  readonly sloppy?: boolean;
  readonly fake?: boolean;
  readonly verbose?: boolean;
}

async function existingStore(given: string): Promise<string> {
  const { isStore } = await import("../fs/store/directory.ts");
  const path = await about(given, () => resolveNew(given));
  if (isStore(path)) return path;
  throw new CommandFailure(`${given}: there is no store (onespool mount makes a new one)`);
}

/**
 * umount(8) returns before the server has closed its store: what mounts again at once, as `systemctl restart`
 * does, waits for that. A store that is mounted is left to fail.
 */
async function waitUntilClosed(store: string): Promise<void> {
  const { lockStore, unlockStore } = await import("../fs/store/directory.ts");
  const end = Date.now() + CLOSE_TIMEOUT_MS;
  for (;;) {
    try {
      unlockStore(lockStore(store));
      return;
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== "STORE_BUSY") throw error;
      const mounted = readMounts().find((entry) => isOnespool(entry) && entry.source === store);
      if (mounted !== undefined) {
        throw new CommandFailure(`${store}: is mounted already, at ${mounted.mountpoint}`);
      }
      if (Date.now() > end) throw error;
      await sleep(POLL_MS);
    }
  }
}

async function mount(storeGiven: string, mountpointGiven: string, flags: Flags): Promise<void> {
  if (flags.type !== undefined && flags.type !== TYPE) {
    throw new UsageFailure(`-t ${flags.type}: this mounts ${TYPE}`);
  }
  const { binding, options } = parseHelperOptions(flags.options, flags.sloppy === true);
  chooseBinding(binding, parseMountOptions(options));
  if (flags.fake === true) return;
  const existing = await existingStore(storeGiven);
  const mountpoint = await prepareMountpoint(mountpointGiven);
  const store = await prepareStore(existing, mountpoint);
  await waitUntilClosed(store);
  const { ready, warnings } = await startDaemon(store, mountpoint, { binding, options });
  for (const warning of warnings) process.stderr.write(`mount.${TYPE}: ${warning}\n`);
  if (flags.verbose === true) process.stdout.write(`${ready}\n`);
}

function helperCommand(): Command {
  return new Command(`mount.${TYPE}`)
    .description("Mounts a spool for mount(8): mount -t fuse.onespool STORE DIRECTORY")
    .argument("<store>", "the directory that holds the store")
    .argument("<mountpoint>", "the directory to mount it at")
    .option(
      "-o <options>",
      "mount options: those of onespool mount, binding=NAME, and those of every file system",
      (value: string, previous: readonly string[]) => [...previous, value],
      [] as readonly string[],
    )
    .option("-s", "pass over unknown options")
    .option("-f", "look at the options, mount nothing")
    .option("-n", "nothing: there is no mtab")
    .option("-v", "print what is mounted where")
    .option("-t <type>", TYPE)
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, `mount.${TYPE}: `)),
    });
}

/** Runs one command line and returns its exit code. */
export async function runHelper(args: readonly string[]): Promise<number> {
  const command = helperCommand();
  command.action(async (store: string, mountpoint: string) => {
    const { o, s, f, v, t } = command.opts();
    await mount(store, mountpoint, { options: o, sloppy: s, fake: f, verbose: v, type: t });
  });
  try {
    await command.parseAsync(args, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    if (error instanceof InvariantError) throw error;
    process.stderr.write(`mount.${TYPE}: ${reasonOf(error)}\n`);
    return error instanceof UsageFailure ? EXIT_USAGE : EXIT_FAILED;
  }
}

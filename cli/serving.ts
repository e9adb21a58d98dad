/**
 * Serves one store at one mount point until it is unmounted. This process never touches its own mount: not
 * with a path, not through a child that it waits for without answering the kernel.
 */
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import type { Mounted } from "../fs/mounted.ts";
import type { SpoolOptions } from "../fs/spool.ts";
import { EXIT_FAILED, reasonOf } from "./failure.ts";
import type { MountOptions } from "./mount-options.ts";
import { bytes } from "./numbers.ts";
import { Progress } from "./progress.ts";
import { removeMountpoint, writeMountpoint } from "./paths.ts";
import { unmount } from "./unmounting.ts";

export type Binding = "kernel" | "fuse-native";

/** fuse-native hands file handles around as 32-bit integers. */
const NATIVE_HANDLE_MAX = 2 ** 31 - 1;
/**
 * How much garbage the heap may hold before it is collected, in percent of what is in use. V8's own choice is
 * several hundred: the caches of 100,000 mailboxes would then need a gigabyte.
 */
const HEAP_GROWTH_PERCENT = 60;
/** After a signal, how long programs may go on using files of a mount that is detached. */
const BUSY_MS_MAX = 3_000;

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export interface Serving {
  readonly store: string;
  readonly mountpoint: string;
  readonly binding: Binding;
  readonly options: MountOptions;
  /** Called once, when the mount answers. */
  readonly onReady: (line: string) => void;
}

function spoolOptions({ binding, options }: Serving): SpoolOptions {
  const { deliverUid, deliverDirectories } = options;
  return {
    create: true,
    ...(binding === "fuse-native" ? { handleMax: NATIVE_HANDLE_MAX } : {}),
    ...(deliverUid === undefined
      ? {}
      : { deliver: { uid: deliverUid, directories: deliverDirectories ?? ["."] } }),
  };
}

/** Binding and store are loaded only here, so that help and usage errors need neither. */
async function mountSpool(
  serving: Serving,
): Promise<{ mounted: Mounted; close: () => Promise<void> }> {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`);
  const { Spool } = await import("../fs/spool.ts");
  const { store, mountpoint, binding } = serving;
  const progress = new Progress();
  const spool = await Spool.open(store, {
    ...spoolOptions(serving),
    onProgress: (done, total) => progress.show(`opening: ${bytes(done)} of ${bytes(total)}`),
  });
  progress.clear();
  try {
    const mount =
      binding === "kernel"
        ? (await import("../fs/kernel/mount.ts")).mountKernel
        : (await import("../fs/native/mount.ts")).mountFuseNative;
    const mounted = await mount(mountpoint, spool.operations, { source: store });
    spool.setInvalidator(mounted.invalidator);
    return { mounted, close: () => spool.close() };
  } catch (error) {
    await spool.close();
    throw error;
  }
}

/** A program in the mount (a shell's current directory is enough) does not keep us from ending. */
async function unmountFor(signal: string, mounted: Mounted, mountpoint: string): Promise<void> {
  try {
    await mounted.unmount();
  } catch (error) {
    process.stderr.write(`onespool: ${signal}: ${mountpoint} is in use; detaching it\n`);
    await unmount(mountpoint, true).catch(() => {
      process.stderr.write(`onespool: ${mountpoint}: ${reasonOf(error)}\n`);
    });
    await Promise.race([mounted.closed, sleep(BUSY_MS_MAX, undefined, { ref: false })]);
  }
}

/** Ends without a word to the kernel or the store: recovery is made for that. */
function endNow(mountpoint: string): never {
  spawn("umount", ["-i", "-l", mountpoint], { detached: true, stdio: "ignore" }).unref();
  process.stderr.write("onespool: second signal: ending without closing the store\n");
  process.exit(EXIT_FAILED);
}

/** Resolves with the exit code when the mount is gone and the store is closed. */
export async function serve(serving: Serving): Promise<number> {
  const { store, mountpoint } = serving;
  const { mounted, close } = await mountSpool(serving);
  let signalled = false;
  let gone = false;
  const ended = new Promise<void>((resolve, reject) => {
    for (const signal of SIGNALS) {
      process.on(signal, () => {
        if (signalled) endNow(mountpoint);
        signalled = true;
        unmountFor(signal, mounted, mountpoint).then(resolve, reject);
      });
    }
    mounted.closed.then(() => {
      gone = true;
      resolve();
    }, reject);
  });
  writeMountpoint(store, mountpoint);
  serving.onReady(`${store} is mounted at ${mountpoint} (${mounted.binding} binding)`);
  await ended;
  await close();
  removeMountpoint(store);
  // A detached mount that is still used keeps the event loop alive; it ends with this process.
  if (!gone) process.exit(0);
  return 0;
}

/**
 * Serves one store at one mount point until it is unmounted. This process never touches its own mount: not
 * with a path, not through a child that it waits for without answering the kernel.
 */
import { spawn } from "node:child_process";
import { writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { InvariantError } from "../base/assert.ts";
import { isDirectory } from "../fs/attributes.ts";
import type { Mounted } from "../fs/mounted.ts";
import type { Spool, SpoolOptions } from "../fs/spool.ts";
import { StoreError } from "../fs/store/errors.ts";
import type { Store } from "../fs/store/store.ts";
import { EXIT_REPLACE } from "../fs/takeover/kept.ts";
import type { Started } from "../fs/takeover/lives.ts";
import { breakLocks } from "../fs/takeover/stuck.ts";
import type { Takeover } from "../fs/takeover/start.ts";
import { EXIT_FAILED, reasonOf } from "./failure.ts";
import type { MountOptions } from "./mount-options.ts";
import { mountAt, readMounts } from "./mountinfo.ts";
import { bytes } from "./numbers.ts";
import { Progress } from "./progress.ts";
import { mountpointFile, removeMountpoint, writeMountpoint } from "./paths.ts";
import { unmount } from "./unmounting.ts";

export type Binding = "kernel" | "fuse-native";

/** fuse-native hands file handles around as 32-bit integers. */
const NATIVE_HANDLE_MAX = 2 ** 31 - 1;
/**
 * How much garbage the heap may hold before it is collected, in percent of what is in use. V8's own choice is
 * several hundred: the caches of 100,000 mailboxes would then need a gigabyte.
 */
const HEAP_GROWTH_PERCENT = 40;
/** After a signal, how long programs may go on using files of a mount that is detached. */
const BUSY_MS_MAX = 3_000;
/** When the supervisor is gone who comes next waits for the store: then they have less. */
const ORPHAN_BUSY_MS_MAX = 500;
/** How long one that holds a lock may go on before that: it may be rewriting a large mailbox. */
const LOCKED_MS_MAX = 10_000;
const LOOK_MS = 20;
/** Until the kernel has told of the end of an aborted mount. */
const ABORT_MS_MAX = 2_000;

/** Bytes: set by tests that fill, clean and remove many segments in a short time. */
const SEGMENT_BYTES = Number(process.env["ONESPOOL_SEGMENT_BYTES"] ?? 0);
/** How long a successor waits for the store that its predecessor had. */
const BUSY_STORE_MS_MAX = 10_000;
const BUSY_STORE_PAUSE_MS = 10;

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export interface Kept {
  readonly isSuccessor: boolean;
  /** A predecessor that is dead and not gone. */
  readonly stuckPid: number;
}

export interface Serving {
  readonly store: string;
  readonly mountpoint: string;
  readonly binding: Binding;
  readonly options: MountOptions;
  /** Ends when the process that started it does. */
  readonly whileConnected: boolean;
  /** Started by a keeper, for the first time or in place of a process that has died. */
  readonly kept?: Kept | undefined;
  /** Called once, when the mount answers. */
  readonly onReady: (started: Started) => void;
}

function spoolOptions({ binding, options }: Serving, takeover: Takeover | undefined): SpoolOptions {
  const { deliverUid, deliverDirectories } = options;
  return {
    create: takeover?.inherited === undefined,
    takeover,
    ...(SEGMENT_BYTES > 0 ? { segmentLength: SEGMENT_BYTES } : {}),
    reclaim: options.noReclaim !== true,
    ...(binding === "fuse-native" ? { handleMax: NATIVE_HANDLE_MAX } : {}),
    ...(deliverUid === undefined
      ? {}
      : { deliver: { uid: deliverUid, directories: byteStrings(deliverDirectories ?? ["."]) } }),
  };
}

/** Names inside a spool have one character for each byte. */
function byteStrings(paths: readonly string[]): string[] {
  return paths.map((path) => Buffer.from(path, "utf8").toString("latin1"));
}

/** They may be made later, but a name that is spelled wrong would be refused for ever without a word. */
async function missingDirectories(store: Store, options: MountOptions): Promise<string[]> {
  const { ALL_RIGHTS } = await import("../fs/hints/deliver-account.ts");
  const { PathWalker } = await import("../fs/hints/path-walker.ts");
  const walker = new PathWalker(store, ALL_RIGHTS);
  const names = options.deliverDirectories ?? [];
  return byteStrings(names).flatMap((path, index) => {
    const found = walker.resolve(path) === undefined ? walker.inode : undefined;
    if (found !== undefined && isDirectory(found.mode)) return [];
    return [`deliver_dirs: /${names[index]}: no such directory in the spool yet`];
  });
}

/** Binding and store are loaded only here, so that help and usage errors need neither. */
async function openSpool(serving: Serving, takeover: Takeover | undefined): Promise<Spool> {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`);
  const { Spool } = await import("../fs/spool.ts");
  const progress = new Progress();
  const end = performance.now() + BUSY_STORE_MS_MAX;
  for (;;) {
    try {
      const spool = await Spool.open(serving.store, {
        ...spoolOptions(serving, takeover),
        onProgress: (done, total) => progress.show(`opening: ${bytes(done)} of ${bytes(total)}`),
      });
      progress.clear();
      return spool;
    } catch (error) {
      // The kernel frees what a process held a moment after its end.
      const isBusy = error instanceof StoreError && error.code === "STORE_BUSY";
      if (serving.kept?.isSuccessor !== true || !isBusy || performance.now() > end) throw error;
      await sleep(BUSY_STORE_PAUSE_MS);
    }
  }
}

/** Before the mount, so that nobody finds one whose store says nothing of it. A full disk does not keep from mounting. */
function noteMountpoint(store: string, mountpoint: string): void {
  try {
    writeMountpoint(store, mountpoint);
  } catch (error) {
    process.stderr.write(`onespool: ${mountpointFile(store)}: ${reasonOf(error)}\n`);
  }
}

async function mountSpool(
  spool: Spool,
  serving: Serving,
  takeover: Takeover | undefined,
): Promise<Mounted> {
  const { store, mountpoint, binding, options } = serving;
  const common = {
    source: store,
    noExec: options.noExec ?? false,
    onEventWarning: (message: string) => process.stderr.write(`onespool: ${message}\n`),
  };
  try {
    noteMountpoint(store, mountpoint);
    if (binding === "fuse-native") {
      const { mountFuseNative } = await import("../fs/native/mount.ts");
      const mounted = await mountFuseNative(mountpoint, spool.operations, common);
      spool.setInvalidator(mounted.invalidator);
      return mounted;
    }
    const { mountKernel, takeOverKernel } = await import("../fs/kernel/mount.ts");
    const withoutResend = process.env["ONESPOOL_WITHOUT_RESEND"] === "1";
    const kept = takeover && { ...takeover, withoutResend };
    const inherited = takeover?.inherited;
    if (kept !== undefined && inherited !== undefined) {
      return await takeOverKernel(mountpoint, spool.operations, {
        ...common,
        kept,
        earlier: { minor: inherited.minor, inoEnd: spool.store.inoEnd },
        device: inherited.device,
        heraldPid: inherited.heraldPid,
        beforeRequests: (invalidator) => spool.resume(invalidator),
      });
    }
    const mounted = await mountKernel(mountpoint, spool.operations, {
      ...common,
      ...(kept === undefined ? {} : { kept }),
    });
    spool.setInvalidator(mounted.invalidator);
    return mounted;
  } catch (error) {
    if (takeover?.inherited !== undefined) leaveToSuccessor(error);
    removeMountpoint(store);
    await spool.close();
    throw error;
  }
}

/** Closing would end what the kernel relies on: files without names, and sessions with the hints. */
function leaveToSuccessor(error: unknown): never {
  writeSync(2, `onespool: the mount cannot be taken over now: ${reasonOf(error)}\n`);
  process.kill(process.pid, "SIGKILL");
  throw error;
}

/** A program in the mount (a shell's current directory is enough) does not keep us from ending. */
async function unmountFor(
  signal: string,
  spool: Spool,
  mounted: Mounted,
  mountpoint: string,
): Promise<void> {
  spool.drain();
  try {
    await mounted.unmount();
  } catch (error) {
    await unlocked(spool);
    process.stderr.write(`onespool: ${signal}: ${mountpoint} is in use; detaching it\n`);
    await detach(mounted, mountpoint, BUSY_MS_MAX, error);
  }
}

/** Nobody would start a successor. */
async function endOrphan(spool: Spool, mounted: Mounted, mountpoint: string): Promise<void> {
  spool.drain();
  await unlocked(spool);
  await detach(mounted, mountpoint, ORPHAN_BUSY_MS_MAX);
}

/**
 * Programs may go on with the files that they have open for a while; then they are cut off, before the store closes:
 * else what they ask would be answered by a store that is closed.
 */
async function detach(
  { closed, abort, device }: Mounted,
  mountpoint: string,
  busyMsMax: number,
  problem?: unknown,
): Promise<void> {
  if (isAttached(mountpoint, device)) {
    await unmount(mountpoint, true).catch((error: unknown) => {
      process.stderr.write(`onespool: ${mountpoint}: ${reasonOf(problem ?? error)}\n`);
    });
  }
  const enough = sleep(busyMsMax, true, { ref: false });
  const isBusy = await Promise.race([closed.then(() => false), enough]);
  if (!isBusy || abort === undefined) return;
  abort();
  await Promise.race([closed, sleep(ABORT_MS_MAX, undefined, { ref: false })]);
}

/** Somebody may have detached it, and mounted something else in its place. */
function isAttached(mountpoint: string, device: string | undefined): boolean {
  return device === undefined || mountAt(readMounts(), mountpoint)?.device === device;
}

/**
 * Who holds a lock may be in the middle of a mailbox that would be left half rewritten. Until then the mount stays where
 * it is: who locks removes its lock file by name.
 */
async function unlocked(spool: Spool): Promise<void> {
  const deadline = performance.now() + LOCKED_MS_MAX;
  while (spool.isLockedForWriting && performance.now() < deadline) {
    await sleep(LOOK_MS, undefined, { ref: false });
  }
}

/** Ends without a word to the kernel or the store: recovery is made for that. */
function endNow(mountpoint: string): never {
  spawn("umount", ["-i", "-l", mountpoint], { detached: true, stdio: "ignore" }).unref();
  process.stderr.write("onespool: second signal: ending without closing the store\n");
  process.exit(EXIT_FAILED);
}

/** Resolves with the first signal; a second one of whatever kind ends the process at once. */
function listenForSignals(mountpoint: string): Promise<string> {
  return new Promise((signalled) => {
    let isFirst = true;
    for (const signal of SIGNALS) {
      process.on(signal, () => {
        if (!isFirst) endNow(mountpoint);
        isFirst = false;
        signalled(signal);
      });
    }
  });
}

/**
 * The note of the mount point stays when the store could not be closed: whoever unmounts learns by it. This
 * process ends then, whatever still keeps its event loop alive.
 */
async function closeSpool(spool: Spool, store: string): Promise<void> {
  try {
    await spool.close();
  } catch (error) {
    // A fault of this program: its stack is what helps.
    if (error instanceof InvariantError) throw error;
    process.stderr.write(`onespool: ${store}: not closed cleanly: ${reasonOf(error)}\n`);
    process.exit(EXIT_FAILED);
  }
  removeMountpoint(store);
}

/**
 * On a kernel that does not send requests again, or if nothing could be noted: the mount goes, and programs get errors
 * for the files that they have open. The keeper aborts the old connection and has a new mount made.
 */
function replace(mountpoint: string): number {
  process.stderr.write(`onespool: ${mountpoint}: cannot be taken over; it is mounted anew\n`);
  return EXIT_REPLACE;
}

/** Resolves with the exit code when the mount is gone and the store is closed. */
export async function serve(serving: Serving): Promise<number> {
  const { store, mountpoint, options, whileConnected, kept, onReady } = serving;
  const takeover = kept && (await import("../fs/takeover/start.ts")).openTakeover();
  // The process that serves the new mount is not told of it.
  if (kept !== undefined && kept.stuckPid > 0) breakLocks(store, kept.stuckPid);
  if (kept?.isSuccessor === true && takeover?.inherited?.resends !== true) {
    return replace(mountpoint);
  }
  const spool = await openSpool(serving, takeover);
  // Before the mount: a signal in between would leave one without a server.
  const signalled = listenForSignals(mountpoint);
  const mounted = await mountSpool(spool, serving, takeover);
  let gone = false;
  const ended = Promise.race([
    signalled.then((signal) => {
      const isOrphan = whileConnected && !process.connected;
      return isOrphan
        ? endOrphan(spool, mounted, mountpoint)
        : unmountFor(signal, spool, mounted, mountpoint);
    }),
    mounted.closed.then(() => {
      gone = true;
    }),
  ]);
  const warnings = await missingDirectories(spool.store, options);
  const ready = `${store} is mounted at ${mountpoint} (${mounted.binding} binding)`;
  onReady({ ready, warnings, device: mounted.device });
  await ended;
  await closeSpool(spool, store);
  // A detached mount that is still used keeps the event loop alive; it ends with this process.
  if (!gone) process.exit(0);
  return 0;
}

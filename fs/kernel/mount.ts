/**
 * The kernel binding: mounts Operations through /dev/fuse. It needs root and mount(8), and no native code.
 */
import { closeSync, readFileSync, writeSync } from "node:fs";
import { realpath, stat, statfs } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { MountError } from "../mounted.ts";
import type { Mounted } from "../mounted.ts";
import type { Invalidator, Operations } from "../operations.ts";
import type { TakeoverJournal } from "../takeover/journal.ts";
import { openDevice } from "./device.ts";
import type { DeviceReading } from "./device.ts";
import { Connection } from "./connection.ts";
import type { TakenOver } from "./connection.ts";
import {
  abortConnection,
  abortMount,
  fileSystemType,
  isOurs,
  mountedAt,
  runCommand,
  setReadAhead,
} from "./mount-command.ts";
import type { TableEntry } from "./mount-command.ts";

export interface KernelMountOptions {
  /** What the mount table shows as the source. */
  readonly source?: string;
  readonly readOnly?: boolean;
  /** No program may be run from the mount. */
  readonly noExec?: boolean;
  /** KiB that the kernel reads ahead of a sequential reader. */
  readonly readAheadKib?: number;
  /** Seconds for which the kernel keeps names and attributes: only what changes behind its back needs it short. */
  readonly attributeTimeoutSec?: number;
  /**
   * Programs that watch a file with inotify hear of what was changed behind the kernel's back; an own process raises
   * the events. It is told here what goes wrong with that.
   */
  readonly onEventWarning?: (message: string) => void;
  /** The device is a keeper's, which will start a successor of this process (fs/takeover/). */
  readonly kept?: KeptMount;
  /** "epoll" falls back to "pool" where Node does not have the means. */
  readonly deviceReading?: DeviceReading;
}

export interface KeptMount {
  readonly device: number;
  readonly journal: TakeoverJournal;
  /** For tests: as on a kernel that sends no request again. */
  readonly withoutResend?: boolean;
}

/** How a mount goes on that an earlier process has made. */
export interface TakeoverOptions extends KernelMountOptions {
  readonly kept: KeptMount;
  readonly earlier: TakenOver;
  /** "major:minor" of the file system. */
  readonly device: string | undefined;
  /** Pid of its herald; 0: none. */
  readonly heraldPid: number;
  /** Between the moment in which the kernel can be told of changes and the first request. */
  readonly beforeRequests: (invalidator: Invalidator) => void;
}

const readAheadKibDefault = 1024;
const attributeTimeoutSecDefault = 3600;
const busyAttempts = 20;
const busyPauseMs = 100;
/** A server that does not answer for so long counts as present. */
const probeMs = 5000;
/** An unmounted file system lives on where it is mounted a second time. */
const closedWaitMs = 10_000;

/** Resolves when the mount answers. Throws MountError. */
export async function mountKernel(
  mountpoint: string,
  operations: Operations,
  options: KernelMountOptions = {},
): Promise<Mounted> {
  if (process.getuid?.() !== 0) {
    throw new MountError("NOT_ROOT", "the kernel binding must be mounted by root");
  }
  const directory = await checkMountpoint(mountpoint);
  const connection = newConnection(options.kept?.device ?? tryOpenDevice(), operations, options);
  await connect(connection, directory, options);
  const entry = await mountedAt(directory);
  if (entry?.type === fileSystemType) {
    options.kept?.journal.mounted(entry.device);
    attend(connection, entry, directory, options);
    await setReadAhead(entry.device, options.readAheadKib ?? readAheadKibDefault);
  }
  return mounted(connection, entry?.device, directory);
}

/**
 * Goes on with a mount whose server has died: programs that have files open there have waited. Throws MountError when
 * it is gone by now.
 */
export async function takeOverKernel(
  directory: string,
  operations: Operations,
  options: TakeoverOptions,
): Promise<Mounted> {
  const connection = newConnection(options.kept.device, operations, options);
  const { device } = options;
  const entry = await mountedAt(directory);
  endHerald(options.heraldPid, directory);
  connection.inherit(options.earlier);
  // Detached, it is in no table, and programs may still use it.
  const isAttached = entry !== undefined && isOurs(entry, device);
  if (isAttached) attend(connection, entry, directory, options);
  else if (device !== undefined) abortAtExit(device, directory, connection.closed, true);
  options.beforeRequests(connection);
  connection.resume();
  return mounted(connection, device ?? (isAttached ? entry.device : undefined), directory);
}

function newConnection(
  device: number,
  operations: Operations,
  { attributeTimeoutSec, deviceReading, kept }: KernelMountOptions,
): Connection {
  return new Connection(device, operations, {
    attributeTimeoutSec: attributeTimeoutSec ?? attributeTimeoutSecDefault,
    reading: deviceReading ?? "epoll",
    journal: kept?.journal,
    withoutResend: kept?.withoutResend ?? false,
  });
}

function attend(
  connection: Connection,
  entry: TableEntry,
  directory: string,
  { onEventWarning, kept }: KernelMountOptions,
): void {
  abortAtExit(entry.device, directory, connection.closed, kept !== undefined);
  if (onEventWarning === undefined) return;
  connection.heraldChanges({
    directory,
    device: deviceNumber(entry),
    onWarning: onEventWarning,
    onStarted: (pid) => kept?.journal.heraldStarted(pid),
  });
}

/**
 * The herald of an earlier process does no harm if it never runs again: what it may have sent for is answered like
 * anybody's request, and it must not write then.
 */
function endHerald(pid: number, directory: string): void {
  try {
    const line = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    if (pid > 0 && line.includes(directory)) process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

function mounted(connection: Connection, device: string | undefined, directory: string): Mounted {
  return {
    binding: "kernel",
    device,
    invalidator: connection,
    closed: connection.closed,
    unmount: () => unmount(directory, device, connection),
    ...(device === undefined ? {} : { abort: () => endConnection(device, directory) }),
  };
}

/** Whether it is attached or not: it is this process that has its device. */
function endConnection(device: string, directory: string): void {
  if (!abortMount(directory, device)) abortConnection(device, undefined);
}

/** The canonical path of a directory on which nothing of ours is mounted. */
async function checkMountpoint(mountpoint: string): Promise<string> {
  try {
    const directory = await realpath(mountpoint);
    if (!(await stat(directory)).isDirectory()) {
      throw new MountError("NOT_A_DIRECTORY", `${mountpoint} is not a directory`);
    }
    if ((await mountedAt(directory))?.type === fileSystemType) {
      // Unlike stat(2), this asks the server: attributes may be cached long after its death.
      await Promise.race([statfs(directory), sleep(probeMs, undefined, { ref: false })]);
      throw new MountError("BUSY", `${mountpoint}: a spool is already mounted there`);
    }
    return directory;
  } catch (error) {
    if (error instanceof MountError) throw error;
    throw mountpointError(mountpoint, error as NodeJS.ErrnoException);
  }
}

function mountpointError(mountpoint: string, error: NodeJS.ErrnoException): MountError {
  const options = { cause: error };
  switch (error.code) {
    case "ENOENT":
      return new MountError("NO_MOUNTPOINT", `${mountpoint} does not exist`, options);
    case "ENOTDIR":
      return new MountError("NOT_A_DIRECTORY", `${mountpoint} is not a directory`, options);
    case "ENOTCONN":
    case "ECONNABORTED":
      return new MountError(
        "STALE_MOUNT",
        `${mountpoint}: the server of an earlier mount is gone; take it away with umount ${mountpoint}`,
        options,
      );
    default:
      return new MountError("REFUSED", `${mountpoint}: ${error.message}`, options);
  }
}

function tryOpenDevice(): number {
  try {
    return openDevice();
  } catch (error) {
    const { message } = error as Error;
    const advice = "is the fuse module loaded, and the device allowed in this container?";
    throw new MountError("NO_DEVICE", `${message}; ${advice}`, { cause: error });
  }
}

/** The mount command passes the descriptor to the kernel while this process answers the first request. */
async function connect(
  connection: Connection,
  directory: string,
  { source = "onespool", readOnly = false, noExec = false }: KernelMountOptions,
): Promise<void> {
  // nosuid, nodev: whoever may write into a spool must not make programs and devices of it.
  const flags = [
    "fd=3,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other,nosuid,nodev",
    ...(readOnly ? ["ro"] : []),
    ...(noExec ? ["noexec"] : []),
  ].join(",");
  const abandon = new AbortController();
  const answered = connection.answerInit(abandon.signal);
  const args = ["-i", "-t", fileSystemType, "-o", flags, source, directory];
  const { ok, message } = await runCommand("mount", args, connection.descriptor);
  if (!ok) {
    abandon.abort();
    await answered;
    closeSync(connection.descriptor);
    const code = /busy|already mounted/i.test(message) ? "BUSY" : "REFUSED";
    throw new MountError(code, `${directory}: ${message || "mount(8) failed"}`);
  }
  const refusal = await answered;
  if (refusal === undefined) return;
  closeSync(connection.descriptor);
  await runCommand("umount", ["-i", directory]);
  throw new MountError("PROTOCOL", refusal);
}

/**
 * A thread can be inside the kernel when this process ends by an exception or exit(): one that reads the device,
 * or one whose invalidation waits for a page. Node joins its threads, so the process would hang, and with it
 * every program that waits for a reply. Aborting sets them free.
 */
function abortAtExit(
  device: string,
  directory: string,
  closed: Promise<void>,
  isKept: boolean,
): void {
  const abort = (): void => endConnection(device, directory);
  process.once("exit", abort);
  // A successor goes on with the connection; a signal ends this process without waiting for its threads.
  const die = (error: unknown): void => {
    writeSync(2, `${(error as Error).stack ?? String(error)}\n`);
    process.kill(process.pid, "SIGKILL");
  };
  if (isKept) process.once("uncaughtExceptionMonitor", die);
  void closed.then(() => {
    process.off("exit", abort);
    process.off("uncaughtExceptionMonitor", die);
  });
}

/** As stat(2) gives it: 8 bits of the minor number, 12 of the major one, the rest of the minor one. */
function deviceNumber({ device }: TableEntry): number {
  const [major = 0, minor = 0] = device.split(":").map(Number);
  return (minor % 256) + (major % 4096) * 256 + Math.floor(minor / 256) * 2 ** 20;
}

async function unmount(
  directory: string,
  device: string | undefined,
  { closed, herald }: Connection,
): Promise<void> {
  // It uses the mount now and then.
  await herald?.pause();
  let wasAttached: boolean;
  try {
    wasAttached = await unmountIdle(directory, device);
  } catch (error) {
    herald?.resume();
    throw error;
  }
  const waiting = new AbortController();
  const late = sleep(wasAttached ? closedWaitMs : 0, true, { signal: waiting.signal }).catch(
    () => false,
  );
  const isLate = await Promise.race([closed.then(() => false), late]);
  waiting.abort();
  if (isLate) {
    throw new MountError("BUSY", `${directory}: unmounted, but also mounted or open elsewhere`);
  }
}

/** False: somebody has detached it before. */
async function unmountIdle(directory: string, device: string | undefined): Promise<boolean> {
  for (let attempt = 1; ; attempt += 1) {
    const entry = await mountedAt(directory);
    if (entry === undefined || !isOurs(entry, device)) return false;
    const { ok, message } = await runCommand("umount", ["-i", directory]);
    if (ok) return true;
    if (!/busy/i.test(message)) throw new MountError("REFUSED", `${directory}: ${message}`);
    if (attempt === busyAttempts) {
      throw new MountError("BUSY", `${directory}: a program still uses it`);
    }
    await sleep(busyPauseMs);
  }
}

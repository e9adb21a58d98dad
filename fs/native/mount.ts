/**
 * The binding for an unprivileged user's own mount: libfuse 2 through fuse-native 2.2.6.
 *
 * What it cannot do is in native-notes/README.md. Left out on purpose:
 * - create: it is not told the open flags, and O_APPEND and O_SYNC must be known. Without it libfuse
 *   refuses and the kernel asks for mknod and open instead, which is.
 * - access: the kernel checks permissions itself (default_permissions) and never asks.
 * - opendir and releasedir: readdir is told a path only, so there is nothing to keep between them.
 */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { resolve } from "node:path";
import type Fuse from "fuse-native";
import { assert } from "../../base/assert.ts";
import type { Caller } from "../caller.ts";
import { MountError, type Mounted } from "../mounted.ts";
import type { Operations } from "../operations.ts";
import { close, contentCallbacks } from "./content.ts";
import type { NativeContext } from "./context.ts";
import { metadataCallbacks, metadataOverrides } from "./metadata.ts";
import { UTIMENS, withModificationTime } from "./mtime.ts";
import { nameCallbacks } from "./names.ts";
import { OpenFiles } from "./open-files.ts";
import { libfuseArgument, mayAllowOther } from "./options.ts";
import { Paths } from "./paths.ts";

export interface FuseNativeOptions {
  /** Shown by mount(8) and df(1) as the device. */
  readonly source?: string;
  /** Lets other users in; without it, if root or /etc/fuse.conf allows. */
  readonly allowOther?: boolean;
}

/** How often it is looked whether the mount still lives: fuse-native does not tell. */
const WATCH_MS = 200;

/** Throws MountError. The process must not touch the mount, for which it would wait itself. */
export async function mountFuseNative(
  mountpoint: string,
  operations: Operations,
  options: FuseNativeOptions = {},
): Promise<Mounted> {
  const target = resolve(mountpoint);
  const Library = await load();
  await checkMountpoint(target);

  const caller = callerOfProcess();
  const files = new OpenFiles();
  const paths = new Paths(operations, caller);
  const context: NativeContext = { operations, paths, files, caller };
  const allowOther = options.allowOther ?? mayAllowOther(caller.uid, fuseConf());
  const argument = libfuseArgument({ allowOther, source: options.source ?? "onespool" });

  const callbacks = {
    ...nameCallbacks(context),
    ...contentCallbacks(context),
    ...metadataCallbacks(context),
    fgetattr: true,
    getxattr: true,
    listxattr: true,
  } as const;
  const fuse = new Library(target, callbacks, { timeout: false });
  Object.assign(fuse, metadataOverrides(context), { _fuseOptions: () => argument });
  fuse._handlers[UTIMENS] = withModificationTime(fuse._handlers[UTIMENS]!);

  const before = new Set(deviceDescriptors());
  await mountWith(fuse, target);
  const device = deviceDescriptors().find((fd) => !before.has(fd));
  assert(device !== undefined, "a mounted libfuse has /dev/fuse open");
  return new FuseNativeMount(target, fuse, device, context);
}

class FuseNativeMount implements Mounted {
  readonly binding = "fuse-native";
  /** Nothing is cached (the mount's options), so nothing is stale. */
  readonly invalidator = { invalidate: (): undefined => undefined };
  readonly closed: Promise<void>;
  readonly #mountpoint: string;

  constructor(mountpoint: string, fuse: Fuse, device: number, context: NativeContext) {
    this.#mountpoint = mountpoint;
    this.closed = new Promise((closed) => {
      const watch = setInterval(() => {
        if (isDevice(device)) return;
        clearInterval(watch);
        for (const fd of context.files.fds()) close(context, fd);
        // The mount is gone; this only lets go of the event loop.
        fuse.unmount(() => closed());
      }, WATCH_MS);
    });
  }

  async unmount(): Promise<void> {
    await unmountWith(this.#mountpoint);
    await this.closed;
  }
}

async function load(): Promise<typeof Fuse> {
  try {
    const { default: Library } = await import("fuse-native");
    // Its own would be a lazy one, which hides that a program still uses the mount.
    Library.unmount = (_mountpoint, done) => done(null);
    return Library;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const hint = message.includes("libfuse.so.2")
      ? "libfuse 2 is missing (Debian: apt-get install libfuse2 fuse3)"
      : "the optional package fuse-native is missing or does not load (npm install fuse-native@2.2.6)";
    throw new MountError("NO_LIBRARY", `${hint}: ${message}`, { cause: error });
  }
}

/** libfuse 2 tells of a failure on stderr only, so what can be known is looked at before. */
async function checkMountpoint(mountpoint: string): Promise<void> {
  let found: { isDirectory(): boolean; dev: number };
  try {
    found = await stat(mountpoint);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT") {
      throw new MountError("NO_MOUNTPOINT", `${mountpoint} does not exist`, { cause: error });
    }
    if (code === "ENOTCONN") {
      const message = `at ${mountpoint} is a mount whose server died: umount ${mountpoint}`;
      throw new MountError("STALE_MOUNT", message, { cause: error });
    }
    throw error;
  }
  if (!found.isDirectory()) {
    throw new MountError("NOT_A_DIRECTORY", `${mountpoint} is not a directory`);
  }
  const above = await stat(resolve(mountpoint, ".."));
  if (above.dev !== found.dev) throw new MountError("BUSY", `${mountpoint} is a mount already`);
  if ((await readdir(mountpoint)).length > 0) {
    throw new MountError("REFUSED", `${mountpoint} is not empty`);
  }
}

async function mountWith(fuse: Fuse, mountpoint: string): Promise<void> {
  const error = await new Promise<Error | null | undefined>((done) => {
    fuse.mount(done);
  });
  if (!error) return;
  const message = `libfuse could not mount at ${mountpoint} (it says why on stderr): ${error.message}`;
  throw new MountError("REFUSED", message, { cause: error });
}

/** An unprivileged user's mount is undone by the set-user-id program that made it. */
async function unmountWith(mountpoint: string): Promise<void> {
  const asRoot = process.getuid!() === 0;
  const program = asRoot ? "umount" : "fusermount";
  const flags = asRoot ? [] : ["-u"];
  await new Promise<void>((done, failed) => {
    execFile(program, [...flags, "--", mountpoint], (error, _stdout, stderr) => {
      if (error === null) return done();
      const message = stderr.trim() || error.message;
      const code = /busy/i.test(message) ? "BUSY" : "REFUSED";
      failed(new MountError(code, message, { cause: error }));
    });
  });
}

function callerOfProcess(): Caller {
  return { uid: process.geteuid!(), gid: process.getegid!(), pid: process.pid };
}

function fuseConf(): string {
  try {
    return readFileSync("/etc/fuse.conf", "utf8");
  } catch {
    return "";
  }
}

/** libfuse has /dev/fuse open exactly as long as it serves the mount. */
function deviceDescriptors(): number[] {
  return readdirSync("/proc/self/fd").map(Number).filter(isDevice);
}

function isDevice(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === "/dev/fuse";
  } catch {
    return false;
  }
}

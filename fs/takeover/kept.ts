/**
 * What a keeper holds for the process that serves a mount, and hands to its successor when it dies: the descriptor of
 * /dev/fuse and two files in memory, in which the process notes what the kernel relies on (memory-journal.ts). As
 * long as the keeper lives the mount does, and programs that use it wait.
 *
 * A keeper neither reads nor writes any of them, and knows nothing of the store.
 */
import { closeSync, constants, openSync, statfsSync, unlinkSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The serving process finds them as its descriptors 4, 5 and 6; 3 is its channel to the keeper. */
export const keptDescriptors = { device: 4, journals: [5, 6] } as const;

/** The serving process has detached a mount that it could not take over: it is to be started with a new device. */
export const EXIT_REPLACE = 75;

/** Deaths in a row, each soon after the start, after which nobody is made to wait for a successor any longer. */
export const QUICK_DEATHS_MAX = 6;

/**
 * Directories whose files are in memory as a rule; first the one that not everybody can fill. Where there is none, the
 * files are on disk and gone with their descriptors too.
 */
const memoryDirectories = ["/run", "/dev/shm"];

export interface Kept {
  /** As `stdio` of the child from its descriptor 4 on. */
  readonly descriptors: readonly number[];
  /** The kernel ends the connection when nobody else holds the device. */
  close(): void;
}

/** Throws what open(2) throws. */
export function openKept(): Kept {
  const descriptors: number[] = [];
  const close = (): void => {
    for (const descriptor of descriptors.splice(0)) closeSync(descriptor);
  };
  try {
    descriptors.push(openSync("/dev/fuse", constants.O_RDWR));
    descriptors.push(openUnnamed(), openUnnamed());
  } catch (error) {
    close();
    throw error;
  }
  return { descriptors, close };
}

/** linux/magic.h: TMPFS_MAGIC, RAMFS_MAGIC. */
const memoryTypes: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6]);

function isInMemory(directory: string): boolean {
  try {
    return memoryTypes.has(statfsSync(directory).type);
  } catch {
    return false;
  }
}

function openUnnamed(): number {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  let failure: unknown;
  for (const directory of [...memoryDirectories.filter(isInMemory), tmpdir()]) {
    const path = join(directory, `onespool-${randomBytes(12).toString("hex")}`);
    try {
      const descriptor = openSync(path, flags, 0o600);
      unlinkSync(path);
      return descriptor;
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

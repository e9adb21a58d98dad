/** A file system that a binding has mounted. */
import type { Invalidator } from "./operations.ts";

export interface Mounted {
  readonly binding: "kernel" | "fuse-native";
  /** "major:minor" of the file system, where it is known. */
  readonly device?: string | undefined;
  readonly invalidator: Invalidator;
  /**
   * Resolves when the mount is gone, by whomever: unmounted, or its connection aborted. Every open file
   * was then released and every inode forgotten, so that the operations hold nothing for the kernel.
   */
  readonly closed: Promise<void>;
  /** Resolves when the mount point is free; throws MountError "BUSY" while a program uses the mount. */
  unmount(): Promise<void>;
  /** Ends it under the programs that use it; what they ask from then on fails. Not there where the binding cannot. */
  readonly abort?: () => void;
}

export type MountErrorCode =
  /** The binding needs root. */
  | "NOT_ROOT"
  /** No /dev/fuse, or it cannot be opened. */
  | "NO_DEVICE"
  /** The optional package fuse-native or its libfuse 2 is missing. */
  | "NO_LIBRARY"
  /** The mount point does not exist. */
  | "NO_MOUNTPOINT"
  /** The mount point is not a directory. */
  | "NOT_A_DIRECTORY"
  /** At the mount point is a mount whose server died: unmount it first. */
  | "STALE_MOUNT"
  /** Already mounted there, or a program uses the mount that should go. */
  | "BUSY"
  /** The kernel speaks a protocol that is too old or unknown. */
  | "PROTOCOL"
  /** mount(8) or umount(8) refused; the message is theirs. */
  | "REFUSED";

/** What keeps a mount from being made or undone. The message is for the person who asked. */
export class MountError extends Error {
  override name = "MountError";
  readonly code: MountErrorCode;

  constructor(code: MountErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

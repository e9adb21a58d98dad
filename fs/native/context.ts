/** What the callbacks of one mount share. */
import type { Caller } from "../caller.ts";
import { isErrno } from "../../base/errno.ts";
import type { Operations } from "../operations.ts";
import type { OpenFiles } from "./open-files.ts";
import type { Paths } from "./paths.ts";

export interface NativeContext {
  readonly operations: Operations;
  readonly paths: Paths;
  readonly files: OpenFiles;
  /** fuse-native does not say who asks, so everybody is the process itself. */
  readonly caller: Caller;
}

/**
 * After a name or an open file of the inode has gone. libfuse knows an inode by its paths and while it is
 * open; without both nobody can come back to it, and the file system may drop it.
 */
export function letGo({ operations, files }: NativeContext, ino: number): void {
  if (files.isOpen(ino)) return;
  const attributes = operations.getAttributes(ino);
  if (isErrno(attributes) || attributes.nlink === 0) operations.forget(ino);
}

/** How a command ends when it cannot do what it was asked: one line on stderr, and an exit code. */

import { InvariantError } from "../base/assert.ts";
import { BackupError } from "../fs/backup/errors.ts";
import { MountError } from "../fs/mounted.ts";
import { StoreError } from "../fs/store/errors.ts";

export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
/** fsck: errors are left, as fsck(8) says it. */
export const EXIT_ERRORS_LEFT = 4;

export class CommandFailure extends Error {
  override name = "CommandFailure";
  readonly exitCode: number;

  constructor(message: string, exitCode: number = EXIT_FAILED, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

export class UsageFailure extends CommandFailure {
  constructor(message: string) {
    super(message, EXIT_USAGE);
  }
}

const systemMessages: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EISDIR: "is a directory",
  ELOOP: "too many symbolic links",
  ENAMETOOLONG: "the name is too long",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left",
  ECONNABORTED: "the process that served this mount is gone (onespool umount frees it)",
  ENOTCONN: "the process that served this mount is gone (onespool umount frees it)",
  ENOTDIR: "not a directory",
  EPERM: "not permitted",
  EROFS: "read-only file system",
};

/** What is wrong, for people: a system call's error without the call, its numbers and its stack. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isStorage = error instanceof StoreError || error instanceof BackupError;
  if (isStorage && error.cause instanceof Error) {
    // It says what was being done, and then in the cause's words what went wrong.
    const { cause } = error;
    return firstLine(error.message.replace(cause.message, () => reasonOf(cause)));
  }
  if (error instanceof StoreError && error.code === "STORE_DAMAGED") {
    return `${firstLine(error.message)} (onespool fsck tells what is damaged, docs/DAMAGE.md what to do)`;
  }
  const { code } = error as NodeJS.ErrnoException;
  const known = code === undefined ? undefined : systemMessages[code];
  return known ?? (firstLine(error.message) || error.name);
}

function firstLine(text: string): string {
  return text.split("\n")[0] ?? "";
}

/** Its message names the place already. */
function isComplete(error: unknown): boolean {
  return [BackupError, CommandFailure, InvariantError, MountError, StoreError].some(
    (type) => error instanceof type,
  );
}

/** Runs a step on a path and names that path when it fails. */
export async function about<T>(path: string, step: () => T | Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (isComplete(error)) throw error;
    throw new CommandFailure(`${path}: ${reasonOf(error)}`, EXIT_FAILED, { cause: error });
  }
}

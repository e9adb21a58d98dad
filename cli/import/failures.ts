/** What keeps a single file from being taken, and what ends the whole import. */
import { ChannelError } from "../../fs/hints/channel.ts";
import { reasonOf } from "../failure.ts";
import type { Reason } from "./report.ts";

/** One file or directory is left out; the others go on. */
export class Skip extends Error {
  override name = "Skip";
  readonly reason: Reason;

  constructor(reason: Reason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Errors of the target, or of this process, that the next file would meet as well. */
const ofAll: ReadonlySet<string> = new Set([
  "ECONNABORTED",
  "EDQUOT",
  "EIO",
  "EMFILE",
  "ENFILE",
  "ENODEV",
  "ENOMEM",
  "ENOSPC",
  "ENOTCONN",
  "EROFS",
  "ESHUTDOWN",
  // EDQUOT, as Node has it.
  "Unknown system error -122",
]);

/**
 * The name of an errno; those that Node has no name for are numbers. Its own codes (ERR_…, ABORT_ERR) tell of this program
 * and not of a file.
 */
const ERRNO = /^(?:E[A-Z0-9]+|Unknown system error -\d+)$/;

function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === "string" && ERRNO.test(code) ? code : undefined;
}

/** The reason to leave one file out. Throws what concerns all of them, and faults of this program. */
export function skipFor(error: unknown): Skip {
  if (error instanceof Skip) return error;
  const errno = errnoOf(error);
  if (error instanceof ChannelError || errno === undefined || ofAll.has(errno)) throw error;
  return new Skip("failed", reasonOf(error));
}

/** Runs a step on the source: whatever fails there, the other files can be taken. */
export async function fromSource<T>(step: () => T | Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (error instanceof Skip || errnoOf(error) === undefined) throw error;
    throw new Skip("failed", reasonOf(error));
  }
}

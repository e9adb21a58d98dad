/** What keeps a single file from being taken, and what ends the whole import. */
import { HintError } from "../../fs/hints/client.ts";
import { ChannelError } from "../../fs/hints/channel.ts";
import { CommandFailure, reasonOf } from "../failure.ts";
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

/** Errors of the target that are of one name there, and not of the spool. */
const ofOneFile: ReadonlySet<string | undefined> = new Set([
  "EACCES",
  "EEXIST",
  "EFBIG",
  "EISDIR",
  "ELOOP",
  "EMLINK",
  "ENAMETOOLONG",
  "ENOENT",
  "ENOTDIR",
  "ENOTEMPTY",
  "EPERM",
]);

/** The reason to leave one file out. Throws what concerns all of them. */
export function skipFor(error: unknown): Skip {
  if (error instanceof Skip) return error;
  if (!(error instanceof Error) || error instanceof CommandFailure) throw error;
  const { code } = error as NodeJS.ErrnoException;
  if (error instanceof HintError || error instanceof ChannelError || !ofOneFile.has(code)) {
    throw error;
  }
  return new Skip("failed", reasonOf(error));
}

/** Runs a step on the source: whatever fails there, the other files can be taken. */
export async function fromSource<T>(step: () => T | Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (error instanceof Skip) throw error;
    throw new Skip("failed", reasonOf(error));
  }
}

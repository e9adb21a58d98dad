/** What a refusal by the file system, or a conversation that broke off, means for a message. Pure. */
import { ChannelError } from "../../fs/hints/channel.ts";
import { HintError } from "../../fs/hints/client.ts";
import type { DeliveryRefusal, Outcome } from "./outcome.ts";

export type Refused = Extract<Outcome, { kind: "refused" }>;

/** Reasons that are a path's own fault; the other mailboxes could have the message. */
const OF_A_MAILBOX: ReadonlySet<string> = new Set([
  "absolutePath",
  "pathTooLong",
  "nameTooLong",
  "notFound",
  "notDirectory",
  "isDirectory",
  "notRegular",
  "tooManyLinks",
  "leavesMount",
  "linkNotFollowed",
  "noSearch",
  "noRead",
  "noWrite",
  "noCreate",
  "controlFile",
  "ownerNotAllowed",
  "fileTooLarge",
  "badField",
]);

export function refused(reason: DeliveryRefusal, detail: string, mailbox?: string): Refused {
  return { kind: "refused", reason, mailbox, detail };
}

export function refusalOf(error: unknown): Refused {
  if (error instanceof HintError) return ofHint(error);
  if (error instanceof ChannelError) return refused("spoolGone", `${error.code}: ${error.message}`);
  const { code, message } = error as NodeJS.ErrnoException;
  // The control file could not be opened: no mount, a dead one, or no descriptor left here.
  if (code !== undefined) return refused("spoolGone", message);
  throw error;
}

function ofHint({ code, reason, path, message }: HintError): Refused {
  const detail = `${reason}: ${message}`;
  const mailbox = path === undefined ? undefined : path.toString();
  if (reason === "tooManyPending") return refused("mailboxLocked", detail, mailbox);
  if (mailbox !== undefined && OF_A_MAILBOX.has(reason)) {
    return refused("mailboxFailed", detail, mailbox);
  }
  // EDQUOT: too much waits to be linked, which passes as room on the disk comes back.
  if (code === "ENOSPC" || code === "EDQUOT") return refused("storeFull", detail);
  return refused("storeFailed", detail);
}

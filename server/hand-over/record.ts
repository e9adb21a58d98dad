/**
 * What goes to a worker beside a socket: the session as it stands, its first accepted recipient, which the worker
 * answers, and the bytes that were read and not looked at.
 */
import type { SMTPServerAddress } from "smtp-server";
import type { AcceptedRecipient } from "../delivery/transaction.ts";
import type { SessionFacts } from "../smtp/session-role.ts";

/** Raised with every change of the record. */
export const HAND_OVER_VERSION = 1;

export interface HandOverRecord {
  readonly type: "session";
  readonly version: number;
  /** Milliseconds of the monotonic clock: a worker that comes to it later leaves it, the client has been told 421. */
  readonly deadline: number;
  readonly facts: SessionFacts;
  readonly recipient: AcceptedRecipient;
  /** As smtp-server parsed it, with its DSN parameters. */
  readonly address: SMTPServerAddress;
  /** One character for each byte: in most records there are few. */
  readonly unread: string;
  /** Replies to what came before: they go out with the one to the recipient. */
  readonly unwritten: string;
}

export function handOverRecord(
  facts: SessionFacts,
  recipient: AcceptedRecipient,
  address: SMTPServerAddress,
  deadline: number,
  released: { readonly unread: Buffer; readonly unwritten: string },
): HandOverRecord {
  return {
    type: "session",
    version: HAND_OVER_VERSION,
    deadline,
    facts,
    recipient,
    address,
    unread: released.unread.toString("latin1"),
    unwritten: released.unwritten,
  };
}

export function unreadOf(record: HandOverRecord): Buffer {
  return Buffer.from(record.unread, "latin1");
}

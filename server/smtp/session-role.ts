/** What a session asks of the process that it is in, and what it is for others: types without code. */
import type { SecureContext } from "node:tls";
import type { SMTPServerAddress } from "smtp-server";
import type { RecipientContext, Verdict } from "../checks/checks.ts";
import type { Limits } from "../config/config.ts";
import type { AcceptedRecipient } from "../delivery/transaction.ts";
import type { ConnectionFacts } from "./connection.ts";
import type { MessageSink } from "./message-sink.ts";
import type { Protocol, Protocols } from "./protocol.ts";
import type { Reason } from "./replies.ts";
import type { SessionCounts } from "./session-limits.ts";
import type { Session } from "./session.ts";

/** What the process does with its sessions; one for all of them. */
export interface SessionRole {
  readonly protocols: Protocols;
  readonly limits: Limits;
  readonly isStress: boolean;
  /** The client is known now, whatever proxy it came through. A reason: it is refused. */
  admit(session: Session): Reason | undefined;
  recipient(context: RecipientContext): Verdict | Promise<Verdict>;
  /** A recipient was refused, for the metrics. */
  refused(reason: Reason): void;
  /** True: the role answers this recipient, and the session goes on in another process. */
  give(session: Session, recipient: AcceptedRecipient, address: SMTPServerAddress): boolean;
  message(session: Session): MessageSink;
  mayXclient(address: string): boolean;
  secureContext(): SecureContext;
  /** A fault of this program, for the log. */
  failed(session: Session, error: unknown): void;
  /** Once for each session; `end` says why. */
  ended(session: Session, end: SessionEnd): void;
}

export type SessionEnd =
  | Reason
  | "quit"
  | "closed"
  | "closedInData"
  /** smtp-server has ended it with a 421 of its own: HTTP. */
  | "protocolError"
  | "handedOver";

/** A session as it stands between two commands. */
export interface SessionFacts {
  readonly protocol: Protocol;
  /** Milliseconds of the monotonic clock. */
  readonly startedAt: number;
  readonly connection: ConnectionFacts;
  readonly counts: SessionCounts;
  readonly refusedRecipients: number;
}

/** A recipient that was accepted; address and DSN parameters as the client gave them. */
export interface SessionRecipient {
  readonly recipient: AcceptedRecipient;
  readonly address: SMTPServerAddress;
}

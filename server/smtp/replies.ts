/**
 * Every reply that refuses something, by its reason: the word stands in the log and the metrics too. Codes: RFC 5321
 * section 4.2.3, enhanced codes: RFC 3463. 421 closes the connection.
 */
import type { DeliveryRefusal } from "../delivery/outcome.ts";
import type { RecipientRefusal } from "../recipients/mailbox.ts";

export type Reason =
  | RecipientRefusal
  | DeliveryRefusal
  | "mailboxFull"
  | "quotaUnknown"
  | "tooManyRecipients"
  | "tooManyMailboxes"
  | "messageTooLarge"
  | "lineTooLong"
  | "bareNewline"
  | "commandTooLong"
  | "commandBareNewline"
  | "utf8NotAnnounced"
  | "utf8Invalid"
  | "parameterUnknown"
  | "parameterTooLong"
  | "earlyTalker"
  | "proxyHeaderInvalid"
  | "tooManyConnections"
  | "tooManyOfClient"
  | "tooManyErrors"
  | "tooManyIdleCommands"
  | "tooManyMessages"
  | "commandTimeout"
  | "unused"
  | "sessionTimeout"
  | "dataTooSlow"
  | "handOverFailed"
  | "workersBusy"
  | "shuttingDown"
  | "internalError";

export interface Reply {
  readonly code: number;
  /** With its enhanced code in front. */
  readonly text: string;
}

export const replies: Readonly<Record<Reason, Reply>> = {
  relayDenied: { code: 550, text: "5.7.1 Not a domain of this server, and it does not relay" },
  unknownUser: { code: 550, text: "5.1.1 No such user here" },
  badAddress: { code: 550, text: "5.1.3 No mailbox can have this name" },
  mailboxFull: { code: 452, text: "4.2.2 The mailbox is full" },
  quotaUnknown: { code: 451, text: "4.3.0 The mailbox cannot be looked at now" },
  tooManyRecipients: { code: 452, text: "4.5.3 Too many recipients in one transaction" },
  tooManyMailboxes: { code: 452, text: "4.5.3 The recipients stand for too many mailboxes" },
  messageTooLarge: { code: 552, text: "5.3.4 The message is too large" },
  lineTooLong: { code: 554, text: "5.6.0 A line of the message is too long" },
  bareNewline: { code: 550, text: "5.5.2 The message has a CR or LF that stands alone" },
  headerTooLong: { code: 552, text: "5.3.4 The header is too long" },
  tooManyFields: { code: 552, text: "5.3.4 The header has too many fields" },
  tooManyReceived: { code: 554, text: "5.4.6 Too many Received fields: a mail loop" },
  storeFull: { code: 452, text: "4.3.1 No space left for mail" },
  storeFailed: { code: 451, text: "4.3.0 Mail cannot be stored now" },
  spoolGone: { code: 451, text: "4.3.0 The mail spool does not answer" },
  mailboxFailed: { code: 451, text: "4.2.0 A mailbox cannot be written" },
  mailboxLocked: { code: 451, text: "4.2.0 Too much mail waits for a lock on the mailbox" },
  commandTooLong: { code: 500, text: "5.5.2 The command line is too long" },
  commandBareNewline: {
    code: 500,
    text: "5.5.2 A command line ends with CRLF, and has no other CR or LF",
  },
  utf8NotAnnounced: {
    code: 553,
    text: "5.6.7 An address that is not ASCII needs SMTPUTF8 in MAIL",
  },
  utf8Invalid: { code: 501, text: "5.5.2 The command line is not UTF-8" },
  parameterUnknown: { code: 555, text: "5.5.4 A parameter of the command is not known here" },
  parameterTooLong: { code: 501, text: "5.5.4 A parameter of the command is too long" },
  earlyTalker: { code: 554, text: "5.5.1 You spoke before the greeting" },
  proxyHeaderInvalid: { code: 421, text: "4.7.0 A proxy header was expected" },
  tooManyConnections: { code: 421, text: "4.3.2 Too many connections" },
  tooManyOfClient: { code: 421, text: "4.7.0 Too many connections from your network" },
  tooManyErrors: { code: 421, text: "4.7.0 Too many errors" },
  tooManyIdleCommands: { code: 421, text: "4.7.0 Too many commands without a message" },
  tooManyMessages: { code: 421, text: "4.7.0 Enough messages in one connection" },
  commandTimeout: { code: 421, text: "4.4.2 No command came in time" },
  unused: { code: 421, text: "4.4.2 The connection was not used" },
  sessionTimeout: { code: 421, text: "4.4.2 The session has lasted too long" },
  dataTooSlow: { code: 421, text: "4.4.2 The message comes too slowly" },
  handOverFailed: { code: 421, text: "4.3.2 The message cannot be taken now" },
  workersBusy: { code: 421, text: "4.3.2 Too busy to take a message now" },
  shuttingDown: { code: 421, text: "4.3.2 The server is shutting down" },
  internalError: { code: 421, text: "4.3.0 Internal error" },
};

/** As smtp-server's handlers take it. */
class ReplyError extends Error {
  override name = "ReplyError";
  readonly responseCode: number;

  constructor({ code, text }: Reply) {
    super(text);
    this.responseCode = code;
  }
}

/** Made once: an error notes where it was made, which costs as much as the rest of a refusal. */
const replyErrors = Object.fromEntries(
  Object.entries(replies).map(([reason, reply]) => [reason, new ReplyError(reply)]),
) as Record<Reason, ReplyError>;

/** For smtp-server, which sends the reply. */
export function replyError(reason: Reason): Error {
  return replyErrors[reason];
}

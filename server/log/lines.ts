/**
 * The two lines that the log is read for: one for each connection, one for each message. Field by field in
 * docs/LOGS.md. Strings of a client are bounded by whoever fills them in; JSON keeps them from forging a line.
 */

export interface ConnectionLine {
  /** The session's id; its messages have it with a number behind. */
  readonly session: string;
  /** The address, of a proxied connection the one that the proxy told. */
  readonly client: string;
  /** Undefined: none came. */
  readonly helo: string | undefined;
  /** Why it ended: a word of the list in docs/LOGS.md. */
  readonly end: string;
  /** Answered ones, refused ones too. */
  readonly messages: number;
  /** Recipients that were refused. */
  readonly refused: number;
  /** Commands that were answered with a 5xx or 4xx for what they were. */
  readonly errors: number;
  readonly ms: number;
  /** Who had the connection when it ended. */
  readonly role: "front" | "worker";
  /** Protocol version and cipher. */
  readonly tls?: string | undefined;
}

export interface MessageLine {
  readonly session: string;
  /** "k3f9a0b1c2.1" */
  readonly transaction: string;
  readonly client: string;
  /** "" is the null sender. */
  readonly sender: string;
  /** Accepted ones. */
  readonly recipients: number;
  /** What they stand for, each once. */
  readonly mailboxes: number;
  /** "stored", or the reason word of the refusal. */
  readonly result: string;
  /** As received. */
  readonly bytes: number;
  /** Sent to the store. */
  readonly storedBytes: number;
  readonly commitMs: number;
  /** From DATA to the reply. */
  readonly ms: number;
  readonly messageId?: string | undefined;
  readonly subject?: string | undefined;
  readonly parts?: number | undefined;
  readonly attachments?: number | undefined;
  /** RET, ENVID, NOTIFY and ORCPT, as given. */
  readonly dsn?: object | undefined;
  /** Why a recipient's mailbox was not written, in words. */
  readonly detail?: string | undefined;
}

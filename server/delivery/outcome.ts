/** How a delivery ended: a value, since all of these are expected. */

/** A closed list; the reply that goes with each stands in server/smtp/replies.ts. */
export type DeliveryRefusal =
  /** The store has no room. */
  | "storeFull"
  /** The spool does not answer, or its mount is not there. */
  | "spoolGone"
  /** The store cannot write. */
  | "storeFailed"
  /** The mailbox cannot be written: a directory in its place, a forbidden path. */
  | "mailboxFailed"
  /** Too much already waits for the lock on the mailbox. */
  | "mailboxLocked"
  | "tooManyReceived"
  | "headerTooLong"
  | "tooManyFields";

export interface Stored {
  /** Mailboxes that have it. */
  readonly mailboxes: number;
  /** Those of them that show it when a lock is released. */
  readonly pending: number;
  /** Bytes of all mailboxes together. */
  readonly logicalBytes: number;
  /** Bytes sent to the store: what is shared counts once. */
  readonly storedBytes: number;
  /** From the request to the durable answer. */
  readonly commitMs: number;
}

export type Outcome =
  | { readonly kind: "stored"; readonly stored: Stored }
  /** `mailbox` is the path of the one that is the cause, when it is one. */
  | {
      readonly kind: "refused";
      readonly reason: DeliveryRefusal;
      readonly mailbox: string | undefined;
      /** For the log. */
      readonly detail: string;
    };

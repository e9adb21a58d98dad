/** One mailbox that mail is delivered to, as plain data. */
export interface Mailbox {
  /** From the mount's root: "user1". */
  readonly path: string;
  /** The address in Delivered-To: "user1@example.test". */
  readonly address: string;
  /** If the mailbox has to be made; undefined: those of the delivering account. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /** Permission bits of a mailbox that has to be made. */
  readonly mode: number;
  /** 0: none. */
  readonly quotaBytes: number;
}

/** Why an address is not accepted: a closed list, the same word in reply, log and metric. */
export type RecipientRefusal = "relayDenied" | "unknownUser" | "badAddress";

export type Resolution =
  | { readonly kind: "accepted"; readonly mailboxes: readonly Mailbox[] }
  | { readonly kind: "refused"; readonly reason: RecipientRefusal };

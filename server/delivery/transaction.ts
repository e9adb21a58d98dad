/** What is known of a message before its content comes: plain data. */
import type { Mailbox } from "../recipients/mailbox.ts";

export interface AcceptedRecipient {
  /** As the client gave it in RCPT. */
  readonly address: string;
  /** What it stands for: an alias has several. */
  readonly mailboxes: readonly Mailbox[];
}

/** Who sent it, for the Received field (RFC 5321 section 4.4). */
export interface ClientFacts {
  readonly address: string;
  /** Name from a proxy, never looked up: undefined if there is none. */
  readonly name: string | undefined;
  readonly helo: string;
  /** RFC 3848 and 6531: "ESMTP", "ESMTPS", "UTF8SMTP", "LMTP" and so on. */
  readonly protocol: string;
  /** "TLSv1.3 TLS_AES_256_GCM_SHA384"; undefined without TLS. */
  readonly tls: string | undefined;
}

/** What the sender asked of delivery status notifications (RFC 3461): recorded, none are sent. */
export interface DsnRequest {
  readonly ret: string | undefined;
  readonly envid: string | undefined;
  /** Of the first that had any. */
  readonly recipients: readonly {
    readonly address: string;
    readonly notify: readonly string[] | undefined;
    readonly orcpt: string | undefined;
  }[];
}

export interface Transaction {
  /** Of the session and the number of the message in it: "k3f9a0b1c2.1". */
  readonly id: string;
  /** "" is the null sender. */
  readonly sender: string;
  readonly recipients: readonly AcceptedRecipient[];
  readonly client: ClientFacts;
  readonly time: Date;
  readonly isSpam: boolean;
  /** Undefined: nothing was asked. */
  readonly dsn?: DsnRequest | undefined;
}

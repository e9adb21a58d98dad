/** Where the content of one message goes, and what the client is told of it. */
import type { DataReader } from "./data-reader.ts";
import type { Reason } from "./replies.ts";

export type MessageResult =
  | { readonly kind: "stored"; readonly text: string }
  | { readonly kind: "refused"; readonly reason: Reason };

export interface MessageSink {
  /** A promise when the next content has to wait for it. */
  content(chunk: Buffer, read: DataReader): Promise<void> | undefined;
  /** All content has come. LMTP: a result for each recipient, in the order of RCPT; SMTP: one. */
  end(read: DataReader): Promise<readonly MessageResult[]>;
  /** The rest will not come. */
  abort(): void;
}

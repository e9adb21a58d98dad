/** A mailbox to be taken: a file of the source, or a maildir that becomes one. */
import type { Attributes } from "./attributes.ts";
import type { State } from "./mark.ts";

/** Open, and under a read lock if it is a file. */
export interface OpenSource {
  /** As it was when it was opened. */
  readonly state: State;
  readonly attributes: Attributes;
  readonly isSparse: boolean;
  /** Whose extended attributes the mailbox gets. */
  readonly descriptor: number | undefined;
  chunks(): AsyncIterable<Buffer>;
  /** Whether it is still as it was, and what was read is therefore of one moment. */
  isUnchanged(): Promise<boolean>;
  close(): Promise<void>;
}

export interface MailboxSource {
  /** From the root of what is imported. */
  readonly path: string;
  readonly isMaildir: boolean;
  /** Without opening it: to tell whether it has to be taken at all. */
  look(): Promise<State>;
  /** Throws Skip when a program does not let it go. */
  open(): Promise<OpenSource>;
}

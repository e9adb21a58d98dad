/**
 * Puts messages into mailboxes through the mount, as any other program could (docs/HINTS.md). The only door
 * from the mail server to the spool.
 *
 * Nothing here waits for a spool that is gone: a message is refused with `spoolGone`, also when it is not known
 * whether it was stored (the spool died before it answered): without a 250 the client comes again. The next
 * message looks for the mount anew.
 */
import type { HeaderLimits } from "../../fs/mbox/header.ts";
import { FILES_MAX } from "../../fs/hints/limits.ts";
import { Channels } from "./channels.ts";
import type { MessageOptions } from "./message.ts";
import { MessageDelivery } from "./message.ts";
import type { Transaction } from "./transaction.ts";

export type { MessageDelivery } from "./message.ts";

/** Mailboxes that one transaction may have. */
export const MAILBOXES_MAX = FILES_MAX;

const HANDLES_MAX = 16;

export interface DeliveryOptions {
  readonly mount: string;
  /** In Received and Message-ID. */
  readonly hostname: string;
  /** Which messages are linked: those judged spam, those with several mailboxes, none. */
  readonly share: "spam" | "multi" | "off";
  readonly limits: {
    readonly headerBytesMax: number;
    readonly headerFieldsMax: number;
    readonly receivedFieldsMax: number;
  };
  /** Requests to the spool at a time: each holds a thread of Node's pool (UV_THREADPOOL_SIZE) while it waits. */
  readonly handlesMax?: number;
}

export class Delivery {
  readonly #options: MessageOptions;

  private constructor(options: MessageOptions) {
    this.#options = options;
  }

  static create({ mount, hostname, share, limits, handlesMax }: DeliveryOptions): Delivery {
    const headerLimits: HeaderLimits = {
      bytesMax: limits.headerBytesMax,
      fieldsMax: limits.headerFieldsMax,
      receivedFieldsMax: limits.receivedFieldsMax,
    };
    const channels = new Channels(mount, handlesMax ?? HANDLES_MAX);
    return new Delivery({ channels, hostname, share, limits: headerLimits });
  }

  begin(transaction: Transaction): MessageDelivery {
    return new MessageDelivery(this.#options, transaction);
  }

  /** Messages that are under way end as they would; no channel is kept. */
  // oxlint-disable-next-line require-await -- a promise by contract: closing may come to wait.
  async close(): Promise<void> {
    this.#options.channels.close();
  }
}

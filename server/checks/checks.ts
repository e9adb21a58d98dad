/**
 * The one place where checks of a client and of a recipient stand, cheapest first. Front and workers ask the same
 * ones: the front until a recipient is accepted, the worker for those that follow.
 */
import type { Limits } from "../config/config.ts";
import { MAILBOXES_MAX } from "../delivery/delivery.ts";
import type { AcceptedRecipient } from "../delivery/transaction.ts";
import type { Mailbox, Resolution } from "../recipients/mailbox.ts";
import type { Reason } from "../smtp/replies.ts";

/** What is known when a recipient is named. */
export interface RecipientContext {
  readonly clientAddress: string;
  /** As given in RCPT. */
  readonly address: string;
  /** SIZE of MAIL; 0 if it was not given. */
  readonly sizeBytes: number;
  /** Mailboxes of the recipients that were accepted before. */
  readonly mailboxes: number;
}

export type Verdict =
  | { readonly kind: "accepted"; readonly recipient: AcceptedRecipient }
  | { readonly kind: "refused"; readonly reason: Reason };

export interface RecipientTable {
  resolve(address: string): Resolution;
}

export interface QuotaCheck {
  check(
    mailbox: Mailbox,
    sizeBytes: number,
  ): "fits" | "full" | "unknown" | Promise<"fits" | "full" | "unknown">;
}

export class Checks {
  readonly #recipients: RecipientTable;
  readonly #quotas: QuotaCheck;
  readonly #limits: Limits;

  constructor(recipients: RecipientTable, quotas: QuotaCheck, limits: Limits) {
    this.#recipients = recipients;
    this.#quotas = quotas;
    this.#limits = limits;
  }

  /** Of a connection that was just accepted; `open` and `openOfClient` count it too. */
  client(open: number, openOfClient: number): Reason | undefined {
    if (open > this.#limits.connectionsMax) return "tooManyConnections";
    if (openOfClient > this.#limits.connectionsPerClientMax) return "tooManyOfClient";
    return undefined;
  }

  recipient(context: RecipientContext): Verdict | Promise<Verdict> {
    const resolution = this.#recipients.resolve(context.address);
    if (resolution.kind === "refused") return resolution;
    const { mailboxes } = resolution;
    if (context.mailboxes + mailboxes.length > MAILBOXES_MAX) return refused("tooManyMailboxes");
    const accepted: Verdict = {
      kind: "accepted",
      recipient: { address: context.address, mailboxes },
    };
    const fits = mailboxes.map((mailbox) => this.#quotas.check(mailbox, context.sizeBytes));
    if (fits.every((fit) => fit === "fits")) return accepted;
    return Promise.all(fits.map(async (fit) => fit)).then((settled) => {
      if (settled.includes("full")) return refused("mailboxFull");
      return settled.includes("unknown") ? refused("quotaUnknown") : accepted;
    });
  }
}

function refused(reason: Reason): Verdict {
  return { kind: "refused", reason };
}

/** The recipients of one transaction, as a session collects them. */
import type { SMTPServerSession } from "smtp-server";
import type { SessionRecipient } from "./session-role.ts";

export class Envelope {
  readonly #recipients: SessionRecipient[] = [];
  #mailboxes = 0;

  get recipients(): readonly SessionRecipient[] {
    return this.#recipients;
  }

  /** What they stand for; one that is reached twice counts twice. */
  get mailboxes(): number {
    return this.#mailboxes;
  }

  add(accepted: SessionRecipient): void {
    this.#recipients.push(accepted);
    this.#mailboxes += accepted.recipient.mailboxes.length;
  }
}

/** SIZE of MAIL (RFC 1870), 0 if it was not given. */
export function declaredSize({ mailFrom }: SMTPServerSession["envelope"]): number {
  const args = mailFrom === false ? false : mailFrom.args;
  const { SIZE: size } = (args === false ? {} : args) as { readonly SIZE?: string };
  return Number(size ?? 0);
}

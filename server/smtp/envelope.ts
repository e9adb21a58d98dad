/** The recipients of one transaction, as a session collects them. */
import type { SMTPServerAddress, SMTPServerSession } from "smtp-server";
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
  const args = (mailFrom === false ? undefined : mailFrom.args) as
    | Exclude<SMTPServerAddress["args"], false>
    | false
    | undefined;
  const size = args === undefined || args === false ? undefined : (args as { SIZE?: unknown }).SIZE;
  return typeof size === "string" ? Number(size) : 0;
}

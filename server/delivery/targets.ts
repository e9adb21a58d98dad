/**
 * The mailboxes of one transaction, each once, and what each gets for itself: the `to` of a deliver request
 * (docs/HINTS.md) and the private bytes that go with it. A transaction may have 10,000 of them, so both are
 * made as one text. Pure.
 */
import { ownFields, senderLines } from "../../fs/mbox/format.ts";
import type { Mailbox } from "../recipients/mailbox.ts";
import type { AcceptedRecipient, Transaction } from "./transaction.ts";

export interface Target {
  readonly mailbox: Mailbox;
  /** As the client gave it, for X-Original-To. */
  readonly address: string;
}

export interface TargetsRequest {
  /** JSON of the field `to`. */
  readonly to: string;
  /** Private bytes of all, in order, as UTF-8. */
  readonly private: string;
  readonly privateBytes: number;
}

// oxlint-disable-next-line no-control-regex -- control characters are what it has to find.
const CONTROL = /[\u0000-\u001f\u007f]/;
/** Paths that are in JSON as they are. */
const PLAIN_PATH = /^[\w@+=./-]*$/;

/** The first recipient that leads to a mailbox has it: aliases and repeated addresses make no second copy. */
export function targetsOf(recipients: readonly AcceptedRecipient[]): readonly Target[] {
  const first = recipients[0];
  if (recipients.length === 1 && first?.mailboxes.length === 1) {
    const [mailbox] = first.mailboxes;
    return mailbox === undefined ? [] : [{ mailbox, address: first.address }];
  }
  const targets: Target[] = [];
  const paths = new Set<string>();
  for (const { address, mailboxes } of recipients) {
    for (const mailbox of mailboxes) {
      if (paths.has(mailbox.path)) continue;
      paths.add(mailbox.path);
      targets.push({ mailbox, address });
    }
  }
  return targets;
}

export function targetsRequest(
  targets: readonly Target[],
  { sender, time }: Pick<Transaction, "sender" | "time">,
): TargetsRequest {
  const common = senderLines(clean(sender), time);
  const commonBytes = Buffer.byteLength(common);
  let to = "";
  let own = "";
  let privateBytes = 0;
  for (const { mailbox, address } of targets) {
    const fields = ownFields(
      clean(mailbox.address),
      address === mailbox.address ? undefined : clean(address),
    );
    const length = commonBytes + Buffer.byteLength(fields);
    own += common + fields;
    privateBytes += length;
    const path = PLAIN_PATH.test(mailbox.path) ? `"${mailbox.path}"` : JSON.stringify(mailbox.path);
    const { owner, mode } = mailbox;
    const ids = owner === undefined ? "" : `,"uid":${owner.uid},"gid":${owner.gid}`;
    const comma = to === "" ? "" : ",";
    to += `${comma}{"path":${path},"privateBytes":${length},"create":{"mode":${mode}${ids}}}`;
  }
  return { to: `[${to}]`, private: own, privateBytes };
}

/** A control character would write lines of its own. */
function clean(address: string): string {
  return CONTROL.test(address) ? address.replaceAll(new RegExp(CONTROL, "g"), "?") : address;
}

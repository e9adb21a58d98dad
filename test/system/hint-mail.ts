/** Numbered messages that are delivered by hint, as `onespool deliver` writes them. */
import { formatPrivate, formatShared } from "../../fs/mbox/format.ts";
import type { HintClient, Target } from "./hints.ts";
import { mailText, type NumberedMail } from "./numbered-mail.ts";

/** One message for all of the mailboxes, stored once. Throws if it is refused. */
export async function deliverMail(
  hints: HintClient,
  mail: NumberedMail,
  mailboxes: readonly string[],
  create?: Target["create"],
): Promise<void> {
  const to = mailboxes.map((path) => ({
    path,
    private: formatPrivate({ sender: "ann@example.org", time: new Date(), deliveredTo: path }),
    ...(create === undefined ? {} : { create }),
  }));
  const reply = await hints.deliver(formatShared(Buffer.from(mailText(mail), "latin1")), to);
  if (!reply.ok) throw new Error(`${mail.id} is refused: ${JSON.stringify(reply)}`);
}

/** Bytes that the store keeps for all files, each once. The client's program is root's. */
export async function storedBytes(hints: HintClient): Promise<number> {
  const reply = await hints.request({ op: "statistics" });
  return reply["storedBytes"] as number;
}

/** What the log says of a message that was answered. */
import type { MessageLine } from "../log/lines.ts";
import type { Session } from "../smtp/session.ts";
import type { MessageReport } from "./message.ts";

export function messageLine(session: Session, report: MessageReport): MessageLine {
  const { transaction, stored, facts } = report;
  return {
    session: session.id,
    transaction: transaction.id,
    client: transaction.client.address,
    sender: transaction.sender,
    recipients: transaction.recipients.length,
    mailboxes: stored?.mailboxes ?? 0,
    result: report.result,
    bytes: report.bytes,
    storedBytes: stored?.storedBytes ?? 0,
    commitMs: Math.round((stored?.commitMs ?? 0) * 1000) / 1000,
    ms: report.ms,
    messageId: facts.messageId,
    subject: facts.subject,
    parts: facts.parts,
    attachments: facts.attachments.length,
    dsn: transaction.dsn,
    detail: report.detail,
  };
}

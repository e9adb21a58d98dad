/** Transactions that the tests make, and what mailboxes show of them: every message has a subject of its own. */
import type { MailServer } from "./mail-server.ts";
import type { Reply, SmtpClient } from "./smtp-client.ts";

export interface Mail {
  readonly subject: string;
  /** Local parts at example.test. */
  readonly to: readonly string[];
  /** Lines without line ends; dots are doubled here. */
  readonly body?: readonly string[];
}

export function content({ subject, body = ["text"] }: Mail): string {
  const lines = body.map((line) => (line.startsWith(".") ? `.${line}` : line));
  return [`Subject: ${subject}`, "", ...lines, "."].map((line) => `${line}\r\n`).join("");
}

/** Everything of a transaction, to be sent at once. */
export function transaction(mail: Mail): string {
  const recipients = mail.to.map((name) => `RCPT TO:<${name}@example.test>\r\n`);
  return `MAIL FROM:<ann@example.org>\r\n${recipients.join("")}DATA\r\n${content(mail)}`;
}

/** The replies of a transaction; undefined at the end is a connection that was ended by the server. */
export async function replies(client: SmtpClient, mail: Mail): Promise<(Reply | undefined)[]> {
  const found: (Reply | undefined)[] = [];
  for (let left = mail.to.length + 3; left > 0; left--) {
    const reply = await client.replyOrEnd();
    found.push(reply);
    if (reply === undefined || reply.code === 421) break;
  }
  return found;
}

/** A client that was greeted and has said who it is. */
export async function introduced(
  server: MailServer,
  protocol: "smtp" | "lmtp" = "smtp",
): Promise<SmtpClient> {
  const client = await server.connect(protocol);
  await client.expect(220);
  client.write(protocol === "smtp" ? "EHLO client.test\r\n" : "LHLO client.test\r\n");
  await client.expect(250);
  return client;
}

/** One mail through a connection that is introduced; throws if anything of it is refused. */
export async function deliver(client: SmtpClient, mail: Mail): Promise<void> {
  client.write(transaction(mail));
  const found = await replies(client, mail);
  const codes = found.map((reply) => reply?.code);
  const wanted = [250, ...mail.to.map(() => 250), 354, 250];
  if (codes.join() !== wanted.join()) {
    throw new Error(`${mail.subject}: ${found.map((reply) => JSON.stringify(reply)).join(", ")}`);
  }
}

export async function deliverOnce(server: MailServer, mail: Mail): Promise<void> {
  const client = await introduced(server);
  await deliver(client, mail);
  client.write("QUIT\r\n");
  await client.expect(221);
  await client.closed();
}

/** How often each subject stands in a mailbox. */
export function subjects(mailbox: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const [, subject] of mailbox.matchAll(/^Subject: (.*)$/gm)) {
    found.set(subject!, (found.get(subject!) ?? 0) + 1);
  }
  return found;
}

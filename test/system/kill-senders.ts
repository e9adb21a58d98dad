/**
 * Mail clients of a server whose processes are killed: each keeps what it was told, and sends a message whose 250 did not
 * come again, as another attempt with a number of its own.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../movers.ts";
import { introduced } from "./deliveries.ts";
import type { MailServer } from "./mail-server.ts";
import { shownReply, type Reply, type SmtpClient } from "./smtp-client.ts";
import type { Ledger } from "./traffic-ledger.ts";
import type { TrafficCorpus, TrafficMail } from "./traffic-mail.ts";
import { stuffed } from "./traffic.ts";

export interface Style {
  readonly protocol: "smtp" | "lmtp";
  readonly recipients: number;
  readonly isPipelined: boolean;
}

export const STYLES: readonly Style[] = [
  { protocol: "smtp", recipients: 1, isPipelined: false },
  { protocol: "smtp", recipients: 1, isPipelined: true },
  { protocol: "smtp", recipients: 15, isPipelined: true },
  { protocol: "smtp", recipients: 15, isPipelined: false },
  { protocol: "smtp", recipients: 100, isPipelined: true },
  { protocol: "lmtp", recipients: 1, isPipelined: true },
  { protocol: "lmtp", recipients: 15, isPipelined: true },
];

/** What was sent to the end of its data, or nearly: it is in all its mailboxes or in none. */
export interface Attempt {
  readonly mail: TrafficMail;
  readonly to: readonly Ledger[];
  /** The attempts at one message have one of these. */
  readonly message: number;
  isAcknowledged: boolean;
}

export interface Sending {
  readonly server: MailServer;
  readonly ledgers: readonly Ledger[];
  readonly corpus: TrafficCorpus;
  readonly problems: string[];
  readonly attempts: Attempt[];
  readonly isOver: () => boolean;
}

const MAILS_MAX = 12;
const AGAIN_MS = 30;
/** A message of several units (docs/FORMAT.md) now and then. */
const LARGE_SHARE = 0.02;
const LARGE_LINES = 9_000;

interface Message {
  mail: TrafficMail;
  readonly to: readonly Ledger[];
  readonly id: number;
}

/** In one connection after the other. */
export async function sendMail(sending: Sending, style: Style, random: Random): Promise<void> {
  let message: Message | undefined;
  while (!sending.isOver()) {
    let client: SmtpClient | undefined;
    try {
      client = await introduced(sending.server, style.protocol);
      for (let i = 0; i < MAILS_MAX && !sending.isOver(); i++) {
        message ??= compose(sending, style, random);
        const isStored = await attempt(sending, client, style, message);
        message = isStored ? undefined : { ...message, mail: sending.corpus.again(message.mail) };
        if (!isStored) break;
        await sleep(random() * 20);
      }
    } catch (error) {
      const { message: said } = error as Error;
      if (/said nothing more/.test(said)) sending.problems.push(`${style.protocol}: ${said}`);
      if (message !== undefined) message.mail = sending.corpus.again(message.mail);
    } finally {
      client?.destroy();
    }
    await sleep(AGAIN_MS);
  }
}

function compose({ ledgers, corpus }: Sending, { recipients }: Style, random: Random): Message {
  const from = Math.floor(random() * ledgers.length);
  const to = Array.from({ length: recipients }, (_, i) => ledgers[(from + i) % ledgers.length]!);
  const more =
    random() < LARGE_SHARE ? "One of very many lines of text.\n".repeat(LARGE_LINES) : "";
  const mail = corpus.next(random, false, more);
  return { mail, to, id: mail.number };
}

/** Whether it was acknowledged. Throws when the connection is lost. */
async function attempt(
  sending: Sending,
  client: SmtpClient,
  { protocol, isPipelined }: Style,
  { mail, to, id }: Message,
): Promise<boolean> {
  const commands = [
    "MAIL FROM:<ann@example.org> BODY=8BITMIME",
    ...to.map(({ name }) => `RCPT TO:<${name}@example.test>`),
    "DATA",
  ];
  if (isPipelined) client.write(commands.map((command) => `${command}\r\n`).join(""));
  for (const command of commands) {
    if (!isPipelined) client.write(`${command}\r\n`);
    const wanted = command === "DATA" ? 354 : 250;
    if (!isExpected(sending, await client.reply(), wanted)) return false;
  }
  const made: Attempt = { mail, to, message: id, isAcknowledged: false };
  sending.attempts.push(made);
  for (const ledger of to) ledger.gives(mail, "quoted");
  const data = stuffed(mail);
  client.write(data.slice(0, data.length >> 1));
  // So that a kill falls between the halves of some.
  await sleep(1);
  client.write(data.slice(data.length >> 1));
  // LMTP answers for each recipient; one change made it visible to all (DESIGN: all or none).
  const answers = protocol === "lmtp" ? to.length : 1;
  for (let i = 0; i < answers; i++) {
    if (!isExpected(sending, await client.reply(), 250)) return false;
    made.isAcknowledged = true;
  }
  for (const ledger of to) ledger.acknowledged(mail);
  return true;
}

/** Refusals for now are expected while something is away; others are not. */
function isExpected({ problems }: Sending, reply: Reply, wanted: number): boolean {
  if (reply.code === wanted) return true;
  if (reply.code < 400 || reply.code >= 500) {
    problems.push(`wanted ${wanted}, got ${shownReply(reply)}`);
  }
  return false;
}

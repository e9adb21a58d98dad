/**
 * A message of a maildir as it lies in an mbox file: mboxrd, with a Content-Length and room for keywords as in
 * fs/mbox/format.ts. All header fields stay, Return-Path and Delivered-To too, but for those that say what one
 * mailbox knows of the message: these are made from the flags.
 *
 *   From_ line, X-IMAPbase (of the first message, if there are keywords), Status, X-Status    this mailbox's own
 *   fields, Content-Length, X-Keywords and room, empty line, body, empty line
 */
import { asctime } from "../../fs/mbox/format.ts";
import { KEYWORDS_ROOM, readerFields } from "../../fs/mbox/header.ts";
import { fieldName, firstValue, fromLine, parseMessage } from "../../fs/mbox/message.ts";
import { Quoter } from "../../fs/mbox/quoting.ts";
import type { MboxFlags } from "./maildir-name.ts";

export interface MaildirMessage extends MboxFlags {
  readonly bytes: Buffer;
  readonly time: Date;
  readonly keywords: readonly string[];
  /** Of the first message: all keywords of the mailbox. Dovecot drops those that it does not find there. */
  readonly mailboxKeywords: readonly string[];
}

/** It is in memory as a whole, several times over while its lines are changed. */
export const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;

const LINE_END = Buffer.from("\n");
const CRLF = Buffer.from("\r\n");

const mailboxFields: ReadonlySet<string> = new Set(readerFields);

/** Behind the header, "" if the message has no empty line. */
function headerLength(message: Buffer): number {
  if (message[0] === 0x0a) return 1;
  const at = message.indexOf("\n\n");
  return at === -1 ? message.length : at + 2;
}

/** Readers of the From_ line take the sender to end at the first blank. */
function senderOf(fields: readonly string[]): string {
  const noted = firstValue(fields, "return-path");
  const sender = noted === undefined ? "" : (/<([^<>]*)>/.exec(noted)?.[1] ?? noted);
  // oxlint-disable-next-line no-control-regex -- control characters are what it has to find.
  return sender === "" || /[\0-\x1f\x7f]/.test(sender)
    ? "MAILER-DAEMON"
    : sender.replaceAll(" ", "_");
}

/** A line that a reader would take for the next message's is quoted; "From :" loses its blanks, which mean nothing. */
function safeField(field: string): string {
  if (!fromLine.test(field)) return field;
  return fieldName(field) === "" ? `>${field}` : field.replace(/^([^ \t:]+)[ \t]+:/, "$1:");
}

/** UIDVALIDITY (not 0), the last UID that was given, and the keywords: as Dovecot and c-client write it. */
function imapBase(time: Date, keywords: readonly string[]): string {
  if (keywords.length === 0) return "";
  const validity = Math.max(1, Math.floor(time.getTime() / 1000) % 2 ** 32);
  return `X-IMAPbase: ${validity} ${"0".repeat(10)} ${keywords.join(" ")}\n`;
}

/** The pieces of the mbox file that the message becomes. */
export function asMbox(given: MaildirMessage): Buffer[] {
  const { bytes, time, status, xStatus, keywords, mailboxKeywords } = given;
  const message = bytes.includes(CRLF)
    ? Buffer.from(bytes.toString("latin1").replaceAll("\r\n", "\n"), "latin1")
    : bytes;
  // The header may end before its empty line: what is left of it then belongs to the body.
  const length = headerLength(message);
  const { fields, body: first } = parseMessage(message.subarray(0, length));
  const body: Buffer[] = [];
  const quoter = new Quoter();
  if (first !== "") quoter.take(Buffer.from(first, "latin1"), body);
  quoter.take(message.subarray(length), body);
  quoter.end(body);
  const last = message.length > length ? message.at(-1) : first.charCodeAt(first.length - 1);
  if (body.length > 0 && last !== 0x0a) body.push(LINE_END);
  const bodyLength = body.reduce((sum, piece) => sum + piece.length, 0);
  const head = [
    `From ${senderOf(fields)} ${asctime(time)}\n`,
    imapBase(time, mailboxKeywords),
    status === "" ? "" : `Status: ${status}\n`,
    xStatus === "" ? "" : `X-Status: ${xStatus}\n`,
    ...fields.filter((field) => !mailboxFields.has(fieldName(field))).map(safeField),
    `Content-Length: ${bodyLength}\n`,
    `X-Keywords: ${keywords.join(" ").padEnd(KEYWORDS_ROOM)}\n\n`,
  ];
  return [Buffer.from(head.join(""), "latin1"), ...body, LINE_END];
}

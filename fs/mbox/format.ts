/**
 * A message as it lies in a mailbox file. The shared part is the same in every recipient's mailbox
 * and stored once; the private part precedes it and is each recipient's own.
 *
 *   From_ line, Return-Path, X-Original-To, Delivered-To                          private
 *   fields as received, Content-Length, X-Keywords, empty line, body, empty line  shared
 *
 * The format is mboxrd with a Content-Length. Not here: locks, files, and which mailbox.
 */
import { assert } from "../../base/assert.ts";
import { fieldName, parseMessage } from "./message.ts";

/**
 * Room at the end of the header: a mail program (Dovecot among them) writes its UIDs and flags over
 * these blanks and need not move the body.
 */
export const KEYWORDS_ROOM = 192;

/** Fields whose meaning is local to one mailbox: a sender must not set them, and we write ours. */
const localFields: ReadonlySet<string> = new Set([
  "status",
  "x-status",
  "x-uid",
  "x-imap",
  "x-imapbase",
  "x-keywords",
  "content-length",
  "return-path",
  "x-original-to",
  "delivered-to",
]);

export interface Envelope {
  /** The address of MAIL FROM, without angle brackets; "" is the null sender of RFC 5321 section 4.5.5. */
  readonly sender: string;
  readonly time: Date;
  /** The address as the sender gave it, when that differs from where it went. */
  readonly originalTo?: string;
  readonly deliveredTo: string;
}

const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** As asctime(3) prints it, in UTC, without the line end: "Thu Jan  1 00:00:00 1970". */
export function asctime(time: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const clock = [time.getUTCHours(), time.getUTCMinutes(), time.getUTCSeconds()].map(two).join(":");
  const day = String(time.getUTCDate()).padStart(2);
  return `${days[time.getUTCDay()]} ${months[time.getUTCMonth()]} ${day} ${clock} ${time.getUTCFullYear()}`;
}

/** Addresses come from checked input; a control character here would write lines of its own. */
function checkAddress(address: string): string {
  // eslint-disable-next-line no-control-regex
  assert(!/[\0-\x1f\x7f]/.test(address), "an address has no control characters");
  return address;
}

/** The bytes before the shared part; addresses may hold UTF-8 (RFC 6531). */
export function formatPrivate(envelope: Envelope): Buffer {
  const sender = checkAddress(envelope.sender);
  // Readers of the From_ line take the sender to end at the first blank.
  const fromSender = sender === "" ? "MAILER-DAEMON" : sender.replaceAll(/\s/g, "_");
  const lines = [`From ${fromSender} ${asctime(envelope.time)}`, `Return-Path: <${sender}>`];
  if (envelope.originalTo !== undefined) {
    lines.push(`X-Original-To: ${checkAddress(envelope.originalTo)}`);
  }
  lines.push(`Delivered-To: ${checkAddress(envelope.deliveredTo)}`);
  return Buffer.from(`${lines.join("\n")}\n`, "utf8");
}

/** mboxrd: one more ">" before every line that is a From_ line but for its ">"s. */
function quote(text: string): string {
  return text.replaceAll(/(^|\n)(>*From )/g, "$1>$2");
}

/**
 * No line of the header may look like a From_ line: a stray one in front is quoted as in the body. The
 * field "From :" of the obsolete syntax loses its blanks, which mean nothing.
 */
function formatField(field: string): string {
  return fieldName(field) === "" ? quote(field) : field.replace(/^([^ \t:]+)[ \t]+:/, "$1:");
}

/** The bytes that every recipient gets alike. The Content-Length counts the body as it is stored. */
export function formatShared(message: Uint8Array): Buffer {
  const { fields, body } = parseMessage(message);
  const kept = fields.filter((field) => !localFields.has(fieldName(field))).map(formatField);
  const quoted = quote(body);
  const stored = quoted === "" || quoted.endsWith("\n") ? quoted : `${quoted}\n`;
  const header = [
    ...kept,
    `Content-Length: ${stored.length}\n`,
    `X-Keywords: ${" ".repeat(KEYWORDS_ROOM)}\n`,
  ].join("");
  return Buffer.from(`${header}\n${stored}\n`, "latin1");
}

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
import { headerEnd, HeaderReader } from "./header.ts";
import { Quoter } from "./quoting.ts";

export interface Envelope {
  /** The address of MAIL FROM, without angle brackets; "" is the null sender of RFC 5321 section 4.5.5. */
  readonly sender: string;
  readonly time: Date;
  /** The address as the sender gave it, when that differs from where it went. */
  readonly originalTo?: string;
  readonly deliveredTo: string;
}

const LINE_END = Buffer.from("\n");
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
export function formatPrivate({ sender, time, originalTo, deliveredTo }: Envelope): Buffer {
  const own = ownFields(checkAddress(deliveredTo), originalTo && checkAddress(originalTo));
  return Buffer.from(senderLines(checkAddress(sender), time) + own, "utf8");
}

/** The lines that all recipients have alike, though each has bytes of its own: From_ line and Return-Path. */
export function senderLines(sender: string, time: Date): string {
  // Readers of the From_ line take the sender to end at the first blank.
  const fromSender = sender === "" ? "MAILER-DAEMON" : sender.replaceAll(/\s/g, "_");
  return `From ${fromSender} ${asctime(time)}\nReturn-Path: <${sender}>\n`;
}

/** X-Original-To and Delivered-To. */
export function ownFields(deliveredTo: string, originalTo: string | undefined): string {
  const delivered = `Delivered-To: ${deliveredTo}\n`;
  return originalTo === undefined ? delivered : `X-Original-To: ${originalTo}\n${delivered}`;
}

const CRLF = Buffer.from("\r\n");

function withoutCarriageReturns(message: Uint8Array): Buffer {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.length);
  if (!bytes.includes(CRLF)) return bytes;
  return Buffer.from(bytes.toString("latin1").replaceAll("\r\n", "\n"), "latin1");
}

/** The bytes that every recipient gets alike. The Content-Length counts the body as it is stored. */
export function formatShared(message: Uint8Array): Buffer {
  const header = new HeaderReader();
  const body = header.take(withoutCarriageReturns(message)) ?? header.end();
  const stored: Buffer[] = [];
  const quoter = new Quoter();
  quoter.take(body, stored);
  quoter.end(stored);
  if (body.length > 0 && body.at(-1) !== 0x0a) stored.push(LINE_END);
  let length = 0;
  for (const part of stored) length += part.length;
  const first = Buffer.from(header.kept + headerEnd(length), "latin1");
  return Buffer.concat([first, ...stored, LINE_END]);
}

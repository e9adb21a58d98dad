/**
 * The fields that a server puts on top of a message: Received (RFC 5321 section 4.4), and Message-ID and Date
 * (RFC 5322 section 3.6) where the sender left them out. Everything a client said is taken as what it may be:
 * text that must not end a line, a comment or an atom. Pure.
 */
import type { Transaction } from "./transaction.ts";

/** What a client may call itself: names and address literals, also of RFC 6531; the rest becomes "?". */
const NOT_IN_NAMES = /[^\w.\-:[\]\u00a1-\u{10ffff}]/gu;
const NAME_LENGTH_MAX = 255;
// oxlint-disable-next-line no-control-regex -- control characters are what it has to find.
const NOT_IN_COMMENTS = /[\u0000-\u001f\u007f-\u009f()\\]/g;
// oxlint-disable-next-line no-control-regex -- as above.
const NOT_IN_PATHS = /[\u0000-\u001f\u007f-\u009f<>]/;

function name(given: string): string {
  return given.slice(0, NAME_LENGTH_MAX).replaceAll(NOT_IN_NAMES, "?") || "unknown";
}

/** RFC 5322 section 3.3, in UTC. */
export function dateTime(time: Date): string {
  return time.toUTCString().replace("GMT", "+0000");
}

/** With all line ends. Who else gets the message must not be told: `for` names an only recipient. */
export function receivedField(transaction: Transaction, hostname: string): string {
  const { client, id, recipients, time } = transaction;
  const literal = client.address.includes(":") ? `IPv6:${client.address}` : client.address;
  const host = client.name === undefined ? "" : `${name(client.name)} `;
  const tls = client.tls === undefined ? "" : ` (${client.tls.replaceAll(NOT_IN_COMMENTS, "?")})`;
  const only = recipients.length === 1 ? recipients[0]?.address : undefined;
  const recipient = only === undefined || NOT_IN_PATHS.test(only) ? "" : `\n\tfor <${only}>`;
  return (
    `Received: from ${name(client.helo)} (${host}[${literal}])\n` +
    `\tby ${hostname} with ${client.protocol}${tls} id ${id}${recipient};\n` +
    `\t${dateTime(time)}\n`
  );
}

/** `random` makes it unlike all others: some tens of bits as letters and digits. */
export function messageIdField(hostname: string, time: Date, random: string): string {
  return `Message-ID: <${random}.${time.getTime().toString(36)}@${hostname}>\n`;
}

export function dateField(time: Date): string {
  return `Date: ${dateTime(time)}\n`;
}

/**
 * Which ranges of a message may stand in other mailboxes too: the body, and the longest run of header lines
 * without those that each mailbox has of its own. Pure.
 */
import { fieldName } from "../../fs/mbox/message.ts";

export interface Part {
  readonly start: number;
  readonly end: number;
}

/** A shorter range is not worth the entry in the extent map that each share of it takes. */
export const PART_BYTES_MIN = 512;
/** Headers are looked at up to here. */
const HEADER_BYTES_MAX = 256 * 1024;

/** Lines that a delivery or a mail program writes for one mailbox. */
const ownFields: ReadonlySet<string> = new Set([
  "return-path",
  "delivered-to",
  "x-original-to",
  "envelope-to",
  "x-envelope-to",
  "status",
  "x-status",
  "x-uid",
  "x-imap",
  "x-imapbase",
  "x-keywords",
  "x-mozilla-status",
  "x-mozilla-status2",
  "x-mozilla-keys",
  "content-length",
  "lines",
]);

/** `message` begins with its From_ line and ends with an empty line, which is not the body's. */
export function partsOf(message: Buffer): Part[] {
  const separator = message.indexOf("\n\n");
  const headerEnd = separator === -1 ? message.length : separator + 1;
  const parts: Part[] = [];
  const run = headerEnd <= HEADER_BYTES_MAX ? longestRun(message, headerEnd) : undefined;
  if (run !== undefined) parts.push(run);
  const start = headerEnd + 1;
  const end = endsWithEmptyLine(message) ? message.length - 1 : message.length;
  if (separator !== -1 && end - start >= PART_BYTES_MIN) parts.push({ start, end });
  return parts;
}

function endsWithEmptyLine(message: Buffer): boolean {
  return message.at(-1) === 0x0a && message.at(-2) === 0x0a;
}

function longestRun(message: Buffer, headerEnd: number): Part | undefined {
  const header = message.toString("latin1", 0, headerEnd);
  let best: Part = { start: 0, end: 0 };
  let start = header.indexOf("\n") + 1;
  let isOwn = true;
  for (let at = start; at < headerEnd && at > 0;) {
    const next = header.indexOf("\n", at) + 1 || headerEnd;
    const continues = header[at] === " " || header[at] === "\t";
    const wasOwn = isOwn;
    if (!continues) isOwn = ownFields.has(fieldName(header.slice(at, next)));
    if (isOwn) start = next;
    else if (wasOwn) start = at;
    if (!isOwn && next - start > best.end - best.start) best = { start, end: next };
    at = next;
  }
  return best.end - best.start >= PART_BYTES_MIN ? best : undefined;
}

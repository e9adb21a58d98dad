/**
 * Which ranges of a message may stand in other mailboxes too: the body, and runs of header lines without those
 * that each mailbox has of its own. Pure.
 */
import { readerFields } from "../../fs/mbox/header.ts";
import { fieldName } from "../../fs/mbox/message.ts";

export interface Part {
  readonly start: number;
  readonly end: number;
}

/** A shorter range is not worth the entry in the extent map that each share of it takes. */
export const PART_BYTES_MIN = 256;
/** Of one message: the first long runs of its header, and its body. */
export const PARTS_MAX = 4;
/** Headers are looked at up to here. */
const HEADER_BYTES_MAX = 256 * 1024;

/** Lines that a delivery or a mail program writes for one mailbox. */
const ownFields: ReadonlySet<string> = new Set([
  ...readerFields,
  "return-path",
  "delivered-to",
  "x-original-to",
  "envelope-to",
  "x-envelope-to",
  "x-mozilla-status",
  "x-mozilla-status2",
  "x-mozilla-keys",
  "lines",
]);

/** `message` begins with its From_ line and ends with an empty line, which is not the body's. */
export function partsOf(message: Buffer): Part[] {
  const separator = message.indexOf("\n\n");
  const headerEnd = separator === -1 ? message.length : separator + 1;
  const parts: Part[] = [];
  if (headerEnd <= HEADER_BYTES_MAX) parts.push(...runs(message, headerEnd));
  const start = headerEnd + 1;
  const end = endsWithEmptyLine(message) ? message.length - 1 : message.length;
  if (separator !== -1 && end - start >= PART_BYTES_MIN) parts.push({ start, end });
  return parts;
}

function endsWithEmptyLine(message: Buffer): boolean {
  return message.at(-1) === 0x0a && message.at(-2) === 0x0a;
}

function runs(message: Buffer, headerEnd: number): Part[] {
  const header = message.toString("latin1", 0, headerEnd);
  const found: Part[] = [];
  let start = 0;
  let isOwn = true;
  const endRun = (end: number): void => {
    const isLong = !isOwn && end - start >= PART_BYTES_MIN;
    if (isLong && found.length < PARTS_MAX - 1) found.push({ start, end });
  };
  for (let at = header.indexOf("\n") + 1; at > 0 && at < headerEnd;) {
    const next = header.indexOf("\n", at) + 1 || headerEnd;
    const continues = header[at] === " " || header[at] === "\t";
    const isNextOwn: boolean = continues ? isOwn : ownFields.has(fieldName(header.slice(at, next)));
    if (isNextOwn && !isOwn) endRun(at);
    if (isOwn && !isNextOwn) start = at;
    isOwn = isNextOwn;
    at = next;
  }
  endRun(headerEnd);
  return found;
}

/**
 * A message (RFC 5322) cut into its header fields and its body, as one character for each byte
 * (latin1), lines ending in LF. Nothing is decoded and nothing is judged: whatever arrives has a
 * header and a body in the end.
 */

export interface Message {
  /** Each with its continuation lines and its line ends; a last one without a line end gets one. */
  readonly fields: readonly string[];
  readonly body: string;
}

/** field-name of RFC 5322 section 3.6.8; blanks before the colon are the obsolete form of 4.5. */
export const fieldStart = /^[!-9;-~]+[ \t]*:/;
/** What a mailbox reader may take for the start of the next message, quoted or not. */
export const fromLine = /^>*From /;

/** The field's name in lower case, "" for a line that is no field. */
export function fieldName(field: string): string {
  if (!fieldStart.test(field)) return "";
  return field.slice(0, field.indexOf(":")).trimEnd().toLowerCase();
}

/** What follows the colon, unfolded, without blanks around it. */
function fieldValue(field: string): string {
  return field
    .slice(field.indexOf(":") + 1)
    .replaceAll("\n", "")
    .trim();
}

export function firstValue(fields: readonly string[], name: string): string | undefined {
  const field = fields.find((candidate) => fieldName(candidate) === name);
  return field === undefined ? undefined : fieldValue(field);
}

/**
 * The header ends at the first empty line, or before the first line that cannot be in it; then the
 * body starts with that line. A From_ line in the first place (a message taken out of a mailbox)
 * is kept as if it were a field. A first line that starts with a blank continues nothing: as a field
 * it would continue whatever a delivery puts in front of it.
 */
export function parseMessage(bytes: Uint8Array): Message {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    .toString("latin1")
    .replaceAll("\r\n", "\n");
  const fields: string[] = [];
  let position = 0;
  while (position < text.length) {
    const lineEnd = text.indexOf("\n", position);
    const next = lineEnd === -1 ? text.length : lineEnd + 1;
    const line = text.slice(position, next);
    if (line === "\n") {
      position = next;
      break;
    }
    const last = fields.length - 1;
    const whole = lineEnd === -1 ? `${line}\n` : line;
    if ((line.startsWith(" ") || line.startsWith("\t")) && last >= 0) fields[last] += whole;
    else if (fieldStart.test(line) || (last < 0 && fromLine.test(line))) fields.push(whole);
    else break;
    position = next;
  }
  return { fields, body: text.slice(position) };
}

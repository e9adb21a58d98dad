/**
 * Commands that are not ASCII. An address may be UTF-8 when MAIL has announced it (RFC 6531 section 3.4); bytes that
 * are neither would, made into text, name another address than the one that was given.
 */
import { isAscii, isUtf8 } from "node:buffer";

const ADDRESS_COMMAND = /^(?:MAIL|RCPT) /i;
const ANNOUNCES = /^MAIL .* SMTPUTF8(?: |$)/i;

/** `isAnnounced`: by the MAIL of the transaction. */
export function utf8Fault(
  line: Buffer,
  isAnnounced: boolean,
): "utf8NotAnnounced" | "utf8Invalid" | undefined {
  if (isAscii(line)) return undefined;
  if (!isUtf8(line)) return "utf8Invalid";
  const text = line.toString("utf8");
  if (!ADDRESS_COMMAND.test(text) || isAnnounced || ANNOUNCES.test(text)) return undefined;
  return "utf8NotAnnounced";
}

/**
 * The header of a message as it is stored, made while the message comes in pieces cut anywhere: without the
 * fields that are local to a mailbox, and with no line that looks like a From_ line. Where the header ends
 * is told by parseMessage's rules (message.ts).
 */
import { assert } from "../../base/assert.ts";
import { fieldName, fieldStart, fromLine } from "./message.ts";

/**
 * Room at the end of the header: a mail program (Dovecot among them) writes its UIDs and flags over
 * these blanks and need not move the body.
 */
export const KEYWORDS_ROOM = 192;
const KEYWORDS = `X-Keywords: ${" ".repeat(KEYWORDS_ROOM)}\n\n`;

/** What mailbox readers write for themselves: UIDs, flags, and how long the body is. */
export const readerFields: readonly string[] = [
  "status",
  "x-status",
  "x-uid",
  "x-imap",
  "x-imapbase",
  "x-keywords",
  "content-length",
];

/** Fields whose meaning is local to one mailbox: a sender must not set them, and we write ours. */
const localFields: ReadonlySet<string> = new Set([
  ...readerFields,
  "return-path",
  "x-original-to",
  "delivered-to",
]);

export interface HeaderLimits {
  /** Of all lines, and of the first line behind the header if that is not empty. */
  readonly bytesMax: number;
  readonly fieldsMax: number;
  readonly receivedFieldsMax: number;
}

export type HeaderFault = "headerTooLong" | "tooManyFields" | "tooManyReceived";

const NO_LIMITS: HeaderLimits = {
  bytesMax: Infinity,
  fieldsMax: Infinity,
  receivedFieldsMax: Infinity,
};

const NEWLINE = 0x0a;
const HEADER_END = Buffer.from("\n\n");
const NO_BYTES = Buffer.alloc(0);

/** What stands behind the fields: the body's length as it is stored, room for flags, and the empty line. */
export function headerEnd(bodyLength: number): string {
  return `Content-Length: ${bodyLength}\n${KEYWORDS}`;
}

export class HeaderReader {
  readonly #limits: HeaderLimits;
  /** The beginning of a line, one character for each byte. */
  #line = "";
  #bytes = 0;
  #fields = 0;
  #received = 0;
  /** Lines that continue the field before them stay or go with it. */
  #keeps = false;
  #kept = "";
  #isDone = false;
  #fault: HeaderFault | undefined;
  #hasMessageId = false;
  #hasDate = false;

  constructor(limits: HeaderLimits = NO_LIMITS) {
    this.#limits = limits;
  }

  /** The fields that stay, one character for each byte. */
  get kept(): string {
    return this.#kept;
  }

  get fault(): HeaderFault | undefined {
    return this.#fault;
  }

  get hasMessageId(): boolean {
    return this.#hasMessageId;
  }

  get hasDate(): boolean {
    return this.#hasDate;
  }

  /** The bytes of the body in this piece, once the header has ended; undefined as long as it goes on. Not after that. */
  take(piece: Buffer): Buffer | undefined {
    assert(!this.#isDone, "a header ends once");
    // Mostly the header is a small part of the piece: only that is decoded.
    const empty = piece.indexOf(HEADER_END);
    const text = piece.toString(
      "latin1",
      0,
      empty === -1 ? piece.length : empty + HEADER_END.length,
    );
    for (let at = 0; at < text.length;) {
      const newline = text.indexOf("\n", at);
      if (newline === -1) {
        this.#line += text.slice(at);
        this.#checkLength(this.#line.length);
        return this.#fault === undefined ? undefined : NO_BYTES;
      }
      const begun = this.#line;
      const line = begun + text.slice(at, newline + 1);
      this.#line = "";
      at = newline + 1;
      if (this.#takeLine(line)) continue;
      if (this.#fault !== undefined || line === "\n") return piece.subarray(at);
      const rest = piece.subarray(at - (line.length - begun.length));
      return begun === "" ? rest : Buffer.concat([Buffer.from(begun, "latin1"), rest]);
    }
    return undefined;
  }

  /** The message has ended within the header: the bytes of its body, if a last line makes one. */
  end(): Buffer {
    if (this.#isDone || this.#line === "") return NO_BYTES;
    const line = this.#line;
    this.#line = "";
    // A last field without a line end gets one.
    return this.#takeLine(`${line}\n`, line.length) ? NO_BYTES : Buffer.from(line, "latin1");
  }

  /** False when the header is over, and the line belongs to it only if it is the empty one. */
  #takeLine(line: string, length = line.length): boolean {
    if (!this.#checkLength(length)) return false;
    this.#bytes += length;
    const first = line.charCodeAt(0);
    if (first === NEWLINE) return this.#done();
    if ((first === 0x20 || first === 0x09) && this.#fields > 0) {
      if (this.#keeps) this.#kept += line;
      return true;
    }
    if (fieldStart.test(line)) return this.#takeField(line);
    if (this.#fields > 0 || !fromLine.test(line)) return this.#done();
    // A stray From_ line in front is quoted as in the body.
    this.#fields++;
    this.#keeps = true;
    this.#kept += `>${line}`;
    return true;
  }

  #takeField(line: string): boolean {
    const name = fieldName(line);
    if (++this.#fields > this.#limits.fieldsMax) this.#fault = "tooManyFields";
    if (name === "received" && ++this.#received > this.#limits.receivedFieldsMax) {
      this.#fault = "tooManyReceived";
    }
    if (this.#fault !== undefined) return this.#done();
    if (name === "message-id") this.#hasMessageId = true;
    else if (name === "date") this.#hasDate = true;
    this.#keeps = !localFields.has(name);
    // "From :" of the obsolete syntax loses its blanks, which mean nothing, for it would be a From_ line.
    if (this.#keeps) this.#kept += line.replace(/^([^ \t:]+)[ \t]+:/, "$1:");
    return true;
  }

  #checkLength(length: number): boolean {
    if (this.#bytes + length <= this.#limits.bytesMax) return true;
    this.#fault = "headerTooLong";
    return this.#done();
  }

  #done(): false {
    this.#isDone = true;
    return false;
  }
}

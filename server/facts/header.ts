/**
 * The header of a message, collected until its blank line, and the few fields of it that facts are made of:
 * a header has many others, and a parser that is given all of them works for nothing.
 */

/** As mailparser has them: the name in lower case, and the whole field as bytes (latin1), folded with CRLF. */
export interface HeaderLine {
  readonly key: string;
  readonly line: string;
}

export interface HeaderFields {
  readonly lines: readonly HeaderLine[];
  /** Whether no field was cut. */
  readonly complete: boolean;
}

const LF = 0x0a;
const wanted: ReadonlySet<string> = new Set([
  "message-id",
  "subject",
  "from",
  "content-type",
  "content-disposition",
  "content-transfer-encoding",
]);

export class MailHeader {
  readonly #bytesMax: number;
  readonly #pieces: Buffer[] = [];
  #length = 0;
  #endsInNewline = true;
  #isCut = false;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The header is longer than it may be: what follows is not looked at. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** What of the chunk is body, once the header has ended; undefined while it has not. */
  take(chunk: Buffer): Buffer | undefined {
    if (chunk.length === 0) return undefined;
    const blank = this.#endsInNewline && chunk[0] === LF ? 0 : chunk.indexOf("\n\n") + 1;
    const isEnd = blank > 0 || (this.#endsInNewline && chunk[0] === LF);
    const own = isEnd ? chunk.subarray(0, blank) : chunk;
    const room = this.#bytesMax - this.#length;
    this.#pieces.push(own.length > room ? own.subarray(0, room) : own);
    this.#length += Math.min(own.length, room);
    this.#endsInNewline = chunk[chunk.length - 1] === LF;
    if (own.length > room) {
      this.#isCut = true;
      return Buffer.alloc(0);
    }
    return isEnd ? chunk.subarray(blank + 1) : undefined;
  }

  /** The last field of each name, as mailparser decides where a message has several. */
  fields(fieldBytesMax: number): HeaderFields {
    const text = Buffer.concat(this.#pieces, this.#length).toString("latin1");
    this.#pieces.length = 0;
    const found = new Map<string, HeaderLine>();
    let complete = !this.#isCut;
    for (let start = 0; start < text.length;) {
      const end = endOfField(text, start);
      const colon = text.indexOf(":", start);
      if (colon === -1) break;
      const key =
        colon < end
          ? text
              .slice(start, Math.min(colon, start + 64))
              .trim()
              .toLowerCase()
          : "";
      if (wanted.has(key)) {
        if (end - start > fieldBytesMax) complete = false;
        const field = text.slice(start, Math.min(end, start + fieldBytesMax));
        const value = field.slice(colon - start + 1).replaceAll(/\r?\n/g, "\r\n");
        found.set(key, { key, line: `${key}:${value}` });
      }
      start = end + 1;
    }
    return { lines: [...found.values()], complete };
  }
}

/** Where the newline of a field stands: the next one that no blank or tab follows (RFC 5322 section 2.2.3). */
function endOfField(text: string, start: number): number {
  for (let at = start; ;) {
    const newline = text.indexOf("\n", at);
    if (newline === -1) return text.length;
    const next = text.charCodeAt(newline + 1);
    if (next !== 0x20 && next !== 0x09) return newline;
    at = newline + 1;
  }
}

/**
 * The shared part of a message, made while its content comes. A short message is kept and made at its end; a
 * long one becomes pieces of the body that are to be stored as they fill, and at the end the header and the rest
 * (the header goes last, for it tells the body's length).
 *
 *     collecting --(more than SHORT_BYTES_MAX)--> streaming
 *          \                                         /
 *           +--------------- end() -----------------+
 *
 * At any time the content has at most SHORT_BYTES_MAX bytes here and the piece that was given last; a fault of the
 * header ends it all: what comes is dropped. Not here: the spool.
 */
import type { HeaderFault, HeaderLimits } from "../../fs/mbox/header.ts";
import { headerEnd, HeaderReader } from "../../fs/mbox/header.ts";
import { Quoter } from "../../fs/mbox/quoting.ts";
import { Pieces } from "./pieces.ts";

/** A message that is no longer is one request. */
export const SHORT_BYTES_MAX = 128 * 1024;
/** Of a body that is stored in pieces; whole chunks of the store (docs/FORMAT.md). */
export const UNIT_BYTES = 128 * 1024;

const LINE_END = Buffer.from("\n");
const NEWLINE = 0x0a;

/** What is put on top of the fields, given what the message has of its own. */
export type TopFields = (has: { readonly messageId: boolean; readonly date: boolean }) => string;

/** What is left to be stored when the message has ended. */
export interface ContentEnd {
  /** As it is stored: one character for each byte. */
  readonly header: string;
  /** The body from where units end, and the empty line behind it. */
  readonly rest: readonly Buffer[];
  readonly restBytes: number;
  /** Header, units and rest. */
  readonly bytes: number;
}

export class Content {
  readonly #top: TopFields;
  readonly #header: HeaderReader;
  readonly #quoter = new Quoter();
  #isStreaming = false;
  #isInBody = false;
  /** Content as it came while collecting, then body as it is stored. */
  #kept = new Pieces();
  /** Of the body that has been taken away as units. */
  #takenBytes = 0;
  #lastByte = NEWLINE;
  #hasBody = false;

  constructor(limits: HeaderLimits, top: TopFields) {
    this.#header = new HeaderReader(limits);
    this.#top = top;
  }

  get fault(): HeaderFault | undefined {
    return this.#header.fault;
  }

  /** Bytes of the message that are here. */
  get heldBytes(): number {
    return this.#kept.bytes + this.#header.kept.length;
  }

  take(content: Buffer): void {
    if (this.#header.fault !== undefined) return;
    if (this.#isStreaming) return this.#stream(content);
    this.#kept.push(content);
    if (this.#kept.bytes > SHORT_BYTES_MAX) this.#startStreaming();
  }

  /** Bytes of the body to be stored now, behind `before`; undefined as long as they do not fill a unit. */
  unit(before: string): Buffer | undefined {
    if (!this.#isStreaming || this.#kept.bytes < UNIT_BYTES) return undefined;
    this.#takenBytes += UNIT_BYTES;
    return this.#kept.take(UNIT_BYTES, before);
  }

  end(): ContentEnd | HeaderFault {
    if (!this.#isStreaming) this.#startStreaming();
    if (!this.#isInBody && this.#header.fault === undefined) this.#addBody(this.#header.end());
    if (this.#header.fault !== undefined) return this.#header.fault;
    this.#keep((out) => this.#quoter.end(out));
    if (this.#hasBody && this.#lastByte !== NEWLINE) this.#kept.push(LINE_END);
    const bodyBytes = this.#takenBytes + this.#kept.bytes;
    this.#kept.push(LINE_END);
    const { hasMessageId, hasDate, kept } = this.#header;
    const top = this.#top({ messageId: hasMessageId, date: hasDate });
    const header = top + kept + headerEnd(bodyBytes);
    const { all: rest, bytes: restBytes } = this.#kept;
    return { header, rest, restBytes, bytes: header.length + bodyBytes + 1 };
  }

  #startStreaming(): void {
    this.#isStreaming = true;
    const collected = this.#kept.all;
    this.#kept = new Pieces();
    for (const content of collected) {
      if (this.#header.fault === undefined) this.#stream(content);
    }
  }

  #stream(content: Buffer): void {
    if (this.#isInBody) return this.#addBody(content);
    const body = this.#header.take(content);
    if (this.#header.fault !== undefined) {
      this.#kept = new Pieces();
    } else if (body !== undefined) {
      this.#isInBody = true;
      this.#addBody(body);
    }
  }

  #addBody(body: Buffer): void {
    if (body.length === 0) return;
    this.#hasBody = true;
    this.#lastByte = body[body.length - 1] as number;
    this.#keep((out) => this.#quoter.take(body, out));
  }

  #keep(quote: (out: Buffer[]) => void): void {
    const quoted: Buffer[] = [];
    quote(quoted);
    for (const piece of quoted) this.#kept.push(piece);
  }
}

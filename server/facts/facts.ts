/**
 * What is worth knowing about a message, read beside its delivery: for the log, and for judging. A message
 * that cannot be read to its end gives what could be; nothing here throws, and nothing delays or refuses a mail.
 *
 * Costs are bounded: bytes, header, parts, attachments and working time each have a limit, and what passes one
 * ends the reading with `complete: false`. A message of one text part, the most common kind, is known by its
 * header: its body is never parsed. Not here: the text of a message, what it links to, any judgement.
 */
import { MailHeader, type HeaderFields } from "./header.ts";
import { fieldsOf, type FieldValues } from "./fields.ts";
import { MimeReader } from "./mime.ts";
import { shown } from "./shown.ts";

export interface FactsLimits {
  /** Of a message with parts, header included; the rest is not looked at. */
  readonly bytesMax: number;
  /** Of the header of the message, and of each part. */
  readonly headerBytesMax: number;
  /** Of one field of the message's header. */
  readonly fieldBytesMax: number;
  /** Nodes of the MIME tree, multiparts included. */
  readonly partsMax: number;
  /** Attachments that are listed. */
  readonly attachmentsMax: number;
  /** Characters of each string. */
  readonly textLengthMax: number;
  /** Work of parsing one message, without the pauses in between. */
  readonly workMsMax: number;
  /** From end() to the answer. */
  readonly endMsMax: number;
}

export const factsLimits: FactsLimits = {
  bytesMax: 1024 * 1024,
  headerBytesMax: 64 * 1024,
  fieldBytesMax: 4 * 1024,
  partsMax: 100,
  attachmentsMax: 50,
  textLengthMax: 500,
  workMsMax: 250,
  endMsMax: 1_000,
};

export interface AttachmentFacts {
  /** "" if it has none. */
  readonly name: string;
  /** As the part says, in lower case: "application/pdf". */
  readonly type: string;
  /** Decoded; those that were read when the reading ended early. */
  readonly bytes: number;
}

export interface MessageFacts {
  readonly messageId: string | undefined;
  readonly subject: string | undefined;
  readonly from: string | undefined;
  /** Parts that are no multipart; 1 for a message without MIME. */
  readonly parts: number;
  readonly attachments: readonly AttachmentFacts[];
  /** Whether all of the above is told of the whole message. */
  readonly complete: boolean;
}

export class FactsReader {
  readonly #limits: FactsLimits;
  readonly #header: MailHeader;
  #fields: FieldValues | undefined;
  #mime: MimeReader | undefined;
  #bytesLeft: number;
  #complete = true;

  constructor(limits: FactsLimits = factsLimits) {
    this.#limits = limits;
    this.#header = new MailHeader(limits.headerBytesMax);
    this.#bytesLeft = limits.bytesMax;
  }

  /**
   * The message as it is stored: lines end in LF, cut anywhere. A chunk must not be changed afterwards. The
   * promise, if there is one, says when more may come without piling up; who does not wait for it
   * makes up to `bytesMax` pile up, nothing worse.
   */
  write(chunk: Buffer): Promise<void> | undefined {
    if (this.#fields !== undefined) return this.#mime && this.#feed(this.#mime, chunk);
    const body = this.#header.take(chunk);
    return body === undefined ? undefined : this.#startBody(body);
  }

  /** Settles at most `endMsMax` from now. Call it once, also for a message that was given up. */
  async end(): Promise<MessageFacts> {
    if (this.#fields === undefined) void this.#startBody(Buffer.alloc(0));
    const mime = this.#mime && (await this.#mime.end(this.#limits.endMsMax));
    const { messageId, subject, from } = this.#fields!;
    const { textLengthMax } = this.#limits;
    return {
      messageId: shown(messageId, textLengthMax),
      subject: shown(subject, textLengthMax),
      from: shown(from, textLengthMax),
      parts: mime?.parts ?? 1,
      attachments: mime?.attachments ?? [],
      complete: this.#complete && (mime?.complete ?? true),
    };
  }

  #startBody(body: Buffer): Promise<void> | undefined {
    const header: HeaderFields = this.#header.fields(this.#limits.fieldBytesMax);
    this.#fields = fieldsOf(header.lines);
    if (!header.complete) this.#complete = false;
    if (this.#fields.isText || this.#header.isCut) return undefined;
    this.#mime = new MimeReader(this.#limits);
    void this.#mime.write(
      Buffer.from(header.lines.map(({ line }) => `${line}\n`).join("") + "\n", "latin1"),
    );
    return this.#feed(this.#mime, body);
  }

  #feed(mime: MimeReader, chunk: Buffer): Promise<void> | undefined {
    if (chunk.length === 0 || this.#bytesLeft === 0) {
      if (chunk.length > 0) this.#complete = false;
      return undefined;
    }
    if (chunk.length > this.#bytesLeft) this.#complete = false;
    const piece = chunk.subarray(0, this.#bytesLeft);
    this.#bytesLeft -= piece.length;
    return mime.write(piece);
  }
}

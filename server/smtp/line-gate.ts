/**
 * Bytes of a client, cut into command lines one at a time. What was not asked for yet stays here as bytes, so that a
 * session can be handed over between any two commands with everything that was pipelined behind.
 *
 * A command line ends with CRLF alone (RFC 5321 section 2.3.8): a line with a CR or LF of its own is told apart,
 * since two programs that disagree about line ends can be made to disagree about where a message ends.
 *
 * Not here: what a command means; the content of a message (data-reader.ts).
 */

export type Command =
  | { readonly kind: "line"; readonly line: Buffer }
  /** A line with a CR or LF that is not part of its CRLF. */
  | { readonly kind: "bareNewline" }
  /** Told once; the rest of the line is dropped. */
  | { readonly kind: "tooLong" };

const CR = 0x0d;
const LF = 0x0a;
const EMPTY = Buffer.alloc(0);

const bareNewline: Command = { kind: "bareNewline" };
const tooLong: Command = { kind: "tooLong" };

export class LineGate {
  readonly #lineBytesMax: number;
  #bytes: Buffer = EMPTY;
  #at = 0;
  /** Inside a line that was told to be too long. */
  #isSkipping = false;

  /** `lineBytesMax` counts the line without its CRLF. */
  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax;
  }

  /** Bytes that were not taken yet. */
  get length(): number {
    return this.#bytes.length - this.#at;
  }

  push(chunk: Buffer): void {
    this.#bytes =
      this.length === 0 ? chunk : Buffer.concat([this.#bytes.subarray(this.#at), chunk]);
    this.#at = 0;
  }

  /** The next command; undefined until its line is whole. */
  next(): Command | undefined {
    const end = this.#bytes.indexOf(LF, this.#at);
    if (end === -1) return this.#partial();
    const start = this.#at;
    this.#at = end + 1;
    if (this.#isSkipping) {
      this.#isSkipping = false;
      return this.next();
    }
    if (end - start - 1 > this.#lineBytesMax) return tooLong;
    if (end === start || this.#bytes[end - 1] !== CR) return bareNewline;
    const line = this.#bytes.subarray(start, end - 1);
    return line.includes(CR) ? bareNewline : { kind: "line", line };
  }

  /** All bytes that were not taken yet; the gate is empty then. */
  takeRest(): Buffer {
    const rest = this.#bytes.subarray(this.#at);
    this.#bytes = EMPTY;
    this.#at = 0;
    return rest;
  }

  #partial(): Command | undefined {
    // One more for the CR of a line that is just short enough.
    if (!this.#isSkipping && this.length <= this.#lineBytesMax + 1) return undefined;
    const wasSkipping = this.#isSkipping;
    this.#isSkipping = true;
    this.takeRest();
    return wasSkipping ? undefined : tooLong;
  }
}

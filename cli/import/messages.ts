/**
 * Where messages begin in an mbox file: at a line "From " at the start or behind an empty line. Nothing here
 * changes bytes: the cutter's pieces, one behind the other, are what it was given. Pure.
 *
 * What it finds is used to look for equal ranges and to count, so that a wrong guess (a body with such a line in it)
 * does no harm.
 */

const SEPARATOR = Buffer.from("\n\nFrom ");
const FROM = Buffer.from("From ");
/** Behind the empty line that ends the message before. */
const SEPARATOR_CUT = 2;
const NO_BYTES: Buffer = Buffer.alloc(0);

/** A longer message is handed on in pieces, and nothing equal is looked for in it. */
const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;

export interface Piece {
  readonly bytes: Buffer;
  /** One whole message with its From_ line; otherwise anything. */
  readonly isMessage: boolean;
}

function startsMessage(bytes: Buffer): boolean {
  return bytes.subarray(0, FROM.length).equals(FROM);
}

export class MessageCutter {
  readonly #bytesMax: number;
  #held: Buffer[] = [];
  #heldLength = 0;
  /** A beginning of this message has been handed on. */
  #isCut = false;

  constructor(bytesMax: number = MESSAGE_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** Keeps views of the chunk: its memory must not be used again. */
  take(chunk: Buffer, out: Piece[]): void {
    // The separator may lie across the border to what is held.
    const overlap = this.#lastBytes(SEPARATOR.length - 1);
    const seam = Buffer.concat([overlap, chunk.subarray(0, SEPARATOR.length - 1)]);
    const inSeam = seam.indexOf(SEPARATOR);
    let from = 0;
    if (inSeam !== -1) {
      const cut = inSeam + SEPARATOR_CUT - overlap.length;
      if (cut >= 0) {
        this.#hold(chunk.subarray(0, cut));
        this.#emit(out);
        from = cut;
      } else this.#emitBut(-cut, out);
    }
    for (;;) {
      const at = chunk.indexOf(SEPARATOR, from);
      if (at === -1) break;
      this.#hold(chunk.subarray(from, at + SEPARATOR_CUT));
      this.#emit(out);
      from = at + SEPARATOR_CUT;
    }
    this.#hold(chunk.subarray(from));
    if (this.#heldLength > this.#bytesMax) {
      this.#isCut = true;
      this.#emitBut(SEPARATOR.length - 1, out);
      this.#isCut = true;
    }
  }

  end(out: Piece[]): void {
    this.#emit(out);
  }

  #hold(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#held.push(bytes);
    this.#heldLength += bytes.length;
  }

  #lastBytes(length: number): Buffer {
    let bytes: Buffer = NO_BYTES;
    for (let index = this.#held.length - 1; index >= 0 && bytes.length < length; index--) {
      const piece = this.#held[index]!;
      const missing = length - bytes.length;
      bytes = Buffer.concat([piece.subarray(Math.max(0, piece.length - missing)), bytes]);
    }
    return bytes;
  }

  /** Hands on all but the last bytes. */
  #emitBut(count: number, out: Piece[]): void {
    const all = this.#join();
    this.#held = [all.subarray(0, all.length - count)];
    this.#emit(out);
    this.#hold(all.subarray(all.length - count));
  }

  #emit(out: Piece[]): void {
    const bytes = this.#join();
    if (bytes.length > 0) out.push({ bytes, isMessage: !this.#isCut && startsMessage(bytes) });
    this.#held = [];
    this.#heldLength = 0;
    this.#isCut = false;
  }

  #join(): Buffer {
    return this.#held.length === 1 ? this.#held[0]! : Buffer.concat(this.#held);
  }
}

/** How many messages begin in bytes that come in pieces. */
export class MessageCounter {
  #count = 0;
  #last: Buffer = SEPARATOR.subarray(0, SEPARATOR_CUT);

  get count(): number {
    return this.#count;
  }

  take(chunk: Buffer): void {
    const seam = Buffer.concat([this.#last, chunk.subarray(0, SEPARATOR.length - 1)]);
    if (seam.includes(SEPARATOR)) this.#count++;
    for (let at = chunk.indexOf(SEPARATOR); at !== -1; at = chunk.indexOf(SEPARATOR, at + 1)) {
      this.#count++;
    }
    const kept = Buffer.concat([this.#last, chunk.subarray(-SEPARATOR.length)]);
    this.#last = kept.subarray(-(SEPARATOR.length - 1));
  }
}

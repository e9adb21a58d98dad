/**
 * Quoting of mboxrd, over bytes that come in pieces cut anywhere: a line that is a From_ line but for the ">"s
 * in front of it (`^>*From `) gets one ">" more. Where in the run of ">"s it is put makes no difference to the
 * bytes, so it goes right before the "From ", and nothing but a part of that word is ever held back.
 */

const FROM = Buffer.from("From ");
const GREATER_BYTE = 0x3e;
const NEWLINE = 0x0a;
const NO_BYTES = Buffer.alloc(0);

export class Quoter {
  /** The first bytes of a "From " that the last piece ended with. */
  #held: Buffer = NO_BYTES;
  /** Before `#held` stand only ">"s, back to the start of the line. */
  #atStart = true;

  /** Appends to `out` the quoted bytes; mostly a view of the piece, for nothing is added. */
  take(piece: Buffer, out: Buffer[]): void {
    const bytes = this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]);
    const places: number[] = [];
    for (let at = bytes.indexOf(FROM); at !== -1; at = bytes.indexOf(FROM, at + FROM.length)) {
      if (this.#startsLine(bytes, at)) places.push(at);
    }
    let end = bytes.length;
    for (let length = Math.min(FROM.length - 1, bytes.length); length > 0; length--) {
      const start = bytes.length - length;
      if (bytes.compare(FROM, 0, length, start) !== 0 || !this.#startsLine(bytes, start)) continue;
      end = start;
      break;
    }
    if (end > 0)
      out.push(places.length === 0 ? bytes.subarray(0, end) : insert(bytes, places, end));
    this.#atStart = this.#startsLine(bytes, end);
    this.#held = end === bytes.length ? NO_BYTES : Buffer.from(bytes.subarray(end));
  }

  /** After the last piece: what was held back. */
  end(out: Buffer[]): void {
    if (this.#held.length > 0) out.push(this.#held);
    this.#held = NO_BYTES;
  }

  #startsLine(bytes: Buffer, at: number): boolean {
    let before = at - 1;
    while (before >= 0 && bytes[before] === GREATER_BYTE) before--;
    return before < 0 ? this.#atStart : bytes[before] === NEWLINE;
  }
}

/** A ">" at each of the places, in the first `end` bytes. One buffer: a hostile message has a line of six bytes. */
function insert(bytes: Buffer, places: readonly number[], end: number): Buffer {
  const quoted = Buffer.allocUnsafe(end + places.length);
  let from = 0;
  let to = 0;
  for (const place of places) {
    to += bytes.copy(quoted, to, from, place);
    quoted[to++] = GREATER_BYTE;
    from = place;
  }
  bytes.copy(quoted, to, from, end);
  return quoted;
}

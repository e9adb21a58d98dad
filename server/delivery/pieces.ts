/**
 * Bytes that came in pieces and go in pieces of other lengths. Pieces are kept as they come, but many short ones
 * are copied together: a client that sends single bytes must not have an object made of each.
 */

/** Shorter pieces are copied together, once there are SHORT_PIECES of whatever length. */
const SHORT_BYTES = 1_024;
const SHORT_PIECES = 16;
const BLOCK_BYTES = 16 * 1_024;

export class Pieces {
  readonly #pieces: Buffer[] = [];
  #bytes = 0;
  /** The last piece is the first `#filled` bytes of it, or a part of these. */
  #block: Buffer | undefined;
  #filled = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get all(): readonly Buffer[] {
    return this.#pieces;
  }

  push(piece: Buffer): void {
    this.#bytes += piece.length;
    if (piece.length >= SHORT_BYTES || this.#pieces.length < SHORT_PIECES) {
      this.#block = undefined;
      this.#pieces.push(piece);
      return;
    }
    if (this.#block === undefined || this.#filled + piece.length > BLOCK_BYTES) {
      this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
      this.#filled = 0;
      this.#pieces.push(this.#block.subarray(0, 0));
    }
    piece.copy(this.#block, this.#filled);
    this.#filled += piece.length;
    const last = this.#pieces.length - 1;
    const length = (this.#pieces[last] as Buffer).length + piece.length;
    this.#pieces[last] = this.#block.subarray(this.#filled - length, this.#filled);
  }

  /** Takes the first `length` bytes away, which must be there, as one buffer behind `before` (ASCII). */
  take(length: number, before: string): Buffer {
    const end = before.length + length;
    const taken = Buffer.allocUnsafe(end);
    let filled = taken.write(before, 0, "latin1");
    let used = 0;
    while (filled < end) {
      const piece = this.#pieces[used] as Buffer;
      const count = piece.copy(taken, filled);
      filled += count;
      if (count === piece.length) used++;
      else this.#pieces[used] = piece.subarray(count);
    }
    this.#pieces.splice(0, used);
    if (this.#pieces.length === 0) this.#block = undefined;
    this.#bytes -= length;
    return taken;
  }
}

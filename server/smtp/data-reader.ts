/**
 * The content of a message, read from the bytes behind DATA: dots removed (RFC 5321 section 4.5.2) and every line
 * ended by one LF, which is what a mailbox file holds.
 *
 * Only CRLF.CRLF ends it. An LF or a run of CRs that stands alone, and a run of CRs before an LF, end a line of the content and
 * are counted as bare newlines, but what looks like an end of data with one of them stays content: the line
 * of a single dot keeps its dot. So nobody can be made to read two messages here where another server saw one.
 *
 * | state     | what was read                                                   |
 * | --------- | --------------------------------------------------------------- |
 * | lineStart | a line end, or nothing yet (DATA's own CRLF comes before)       |
 * | text      | a part of a line                                                |
 * | cr        | a CR in or after text                                           |
 * | dot       | a dot at the start of a line, held back                         |
 * | dotCr     | that dot and a CR                                               |
 */
type State = "lineStart" | "text" | "cr" | "dot" | "dotCr";

const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;
/** What earlier chunks hold back: ".\n" or a line end. */
const HELD_BYTES_MAX = 2;

export interface DataPiece {
  readonly content: Buffer;
  /** How many bytes of the chunk belong to the data, its end included. */
  readonly consumed: number;
  readonly isEnd: boolean;
}

export class DataReader {
  #state: State = "lineStart";
  /** The line before ended with CRLF. */
  #afterCrlf = true;
  #lineBytes = 0;
  #longestLineBytes = 0;
  #bytes = 0;
  #hasBareNewline = false;

  /** Bytes of the content as received, line ends and removed dots included. */
  get bytes(): number {
    return this.#bytes;
  }

  get longestLineBytes(): number {
    return Math.max(this.#longestLineBytes, this.#lineBytes);
  }

  get hasBareNewline(): boolean {
    return this.#hasBareNewline;
  }

  read(chunk: Buffer): DataPiece {
    const out = Buffer.allocUnsafe(chunk.length + HELD_BYTES_MAX);
    let length = 0;
    let at = 0;
    let nextCr = -2;
    let nextLf = -2;
    const endLine = (isCrlf: boolean): void => {
      out[length++] = LF;
      this.#afterCrlf = isCrlf;
      if (!isCrlf) this.#hasBareNewline = true;
      if (this.#lineBytes > this.#longestLineBytes) this.#longestLineBytes = this.#lineBytes;
      this.#lineBytes = 0;
      this.#state = "lineStart";
    };
    while (at < chunk.length) {
      const byte = chunk[at]!;
      switch (this.#state) {
        case "lineStart":
          if (byte === DOT) {
            this.#state = "dot";
            at++;
            break;
          }
          this.#state = "text";
          break;
        case "text": {
          if (nextCr !== -1 && nextCr < at) nextCr = chunk.indexOf(CR, at);
          if (nextLf !== -1 && nextLf < at) nextLf = chunk.indexOf(LF, at);
          const stop = earlier(nextCr, nextLf, chunk.length);
          length += chunk.copy(out, length, at, stop);
          this.#lineBytes += stop - at;
          at = stop;
          if (at === chunk.length) break;
          at++;
          if (stop === nextCr) this.#state = "cr";
          else endLine(false);
          break;
        }
        case "cr":
          if (byte === LF) {
            at++;
            endLine(true);
          } else if (byte === CR) {
            at++;
            this.#hasBareNewline = true;
          } else endLine(false);
          break;
        case "dot":
          if (byte === CR) {
            at++;
            this.#state = "dotCr";
          } else if (byte === LF) {
            at++;
            out[length++] = DOT;
            endLine(false);
          } else {
            // Who ends lines otherwise has not doubled this dot.
            if (!this.#afterCrlf) out[length++] = DOT;
            this.#state = "text";
          }
          break;
        case "dotCr":
          if (byte === LF && this.#afterCrlf) {
            at++;
            this.#bytes += at - ".\r\n".length;
            return { content: out.subarray(0, length), consumed: at, isEnd: true };
          }
          out[length++] = DOT;
          if (byte === LF) {
            at++;
            endLine(true);
          } else this.#state = "cr";
          break;
      }
    }
    this.#bytes += chunk.length;
    return { content: out.subarray(0, length), consumed: at, isEnd: false };
  }
}

function earlier(cr: number, lf: number, end: number): number {
  const first = cr === -1 ? end : cr;
  return lf === -1 || first < lf ? first : lf;
}

/**
 * Cuts the bytes that arrive on a session into requests: one line of JSON, then `bodyBytes` raw bytes.
 * The kernel cuts a long write(2) into pieces of at most 1 MiB, a program may cut anywhere.
 * Pure: bytes in, requests out. What the JSON says, apart from bodyBytes, is not read here.
 *
 * A line whose end or whose bodyBytes cannot be told leaves no way to find the next request: the reader
 * is broken for ever. A body that is too long is refused and skipped.
 */
import { isUtf8 } from "node:buffer";
import { BODY_BYTES_MAX, LINE_BYTES_MAX } from "./limits.ts";
import type { Reason, Refusal } from "./refusals.ts";
import { isRefusal } from "./refusals.ts";

const NEWLINE = 0x0a;
const NO_BYTES = Buffer.alloc(0);

export type Fields = Readonly<Record<string, unknown>>;

/** A request as it arrived; its memory is its own. */
export interface Frame {
  readonly fields: Fields;
  readonly body: Buffer;
  /** Bytes of line and body. */
  readonly length: number;
}

/** The line's fields and the length of the body that follows it. */
export interface Head {
  readonly fields: Fields;
  readonly bodyBytes: number;
}

/** Reads a line, without its newline. */
function readHead(line: Buffer): Head | Refusal {
  if (!isUtf8(line)) return { reason: "notJson" };
  let fields: unknown;
  try {
    fields = JSON.parse(line.toString("utf8"));
  } catch {
    return { reason: "notJson" };
  }
  if (typeof fields !== "object" || fields === null || Array.isArray(fields)) {
    return { reason: "notAnObject" };
  }
  const bodyBytes: unknown = (fields as Fields)["bodyBytes"] ?? 0;
  if (typeof bodyBytes !== "number" || !Number.isSafeInteger(bodyBytes) || bodyBytes < 0) {
    return { reason: "badBodyBytes" };
  }
  return { fields: fields as Fields, bodyBytes };
}

export class FrameReader {
  /** What has come of the line, or of the body once `#head` is known; it grows by doubling. */
  #kept = NO_BYTES;
  #keptLength = 0;
  #head: Head | undefined;
  #lineLength = 0;
  /** Bytes of a refused body still to come. */
  #skip = 0;
  #broken: Reason | undefined;

  /** Set for ever when the next request can no longer be found. */
  get broken(): Reason | undefined {
    return this.#broken;
  }

  /** Bytes held of a request that is not complete. */
  get held(): number {
    return this.#keptLength + (this.#head === undefined ? 0 : this.#lineLength);
  }

  /**
   * Takes bytes from `start` of `data` (copied) up to the end of a request or of the data.
   * `result` is the request that is complete now, or the refusal of one.
   */
  take(data: Buffer, start: number): { end: number; result: Frame | Refusal | undefined } {
    let at = start;
    if (this.#skip > 0) {
      const skipped = Math.min(this.#skip, data.length - at);
      this.#skip -= skipped;
      at += skipped;
    }
    if (this.#broken !== undefined || at === data.length) return { end: at, result: undefined };
    if (this.#head !== undefined) return this.#takeBody(data, at, this.#head);

    const newline = data.indexOf(NEWLINE, at);
    const end = newline === -1 ? data.length : newline;
    if (this.#keptLength + end - at >= LINE_BYTES_MAX) return this.#break("lineTooLong", end);
    if (newline === -1) {
      this.#keep(data, at, end);
      return { end, result: undefined };
    }
    this.#lineLength = this.#keptLength + end - at + 1;
    const head = readHead(this.#join(data, at, end));
    if (isRefusal(head)) return this.#break(head.reason, newline + 1);
    if (head.bodyBytes > BODY_BYTES_MAX) {
      const skipped = Math.min(head.bodyBytes, data.length - newline - 1);
      this.#skip = head.bodyBytes - skipped;
      return { end: newline + 1 + skipped, result: { reason: "bodyTooLong" } };
    }
    return this.#takeBody(data, newline + 1, head);
  }

  #takeBody(data: Buffer, at: number, head: Head): ReturnType<FrameReader["take"]> {
    const end = Math.min(data.length, at + head.bodyBytes - this.#keptLength);
    if (this.#keptLength + end - at < head.bodyBytes) {
      this.#head = head;
      this.#keep(data, at, end);
      return { end, result: undefined };
    }
    const copied = this.#keptLength > 0;
    const joined = this.#join(data, at, end);
    const body = copied ? joined : Buffer.from(joined);
    this.#head = undefined;
    return { end, result: { fields: head.fields, body, length: this.#lineLength + body.length } };
  }

  #keep(data: Buffer, start: number, end: number): void {
    const length = this.#keptLength + end - start;
    if (length > this.#kept.length) {
      const grown = Buffer.allocUnsafe(Math.max(length, 2 * this.#kept.length));
      this.#kept.copy(grown, 0, 0, this.#keptLength);
      this.#kept = grown;
    }
    data.copy(this.#kept, this.#keptLength, start, end);
    this.#keptLength = length;
  }

  /** The kept bytes and these last ones; a view of `data` when nothing was kept. */
  #join(data: Buffer, start: number, end: number): Buffer {
    if (this.#keptLength === 0) return data.subarray(start, end);
    this.#keep(data, start, end);
    const joined = this.#kept.subarray(0, this.#keptLength);
    this.#drop();
    return joined;
  }

  #drop(): void {
    this.#kept = NO_BYTES;
    this.#keptLength = 0;
  }

  #break(reason: Reason, end: number): ReturnType<FrameReader["take"]> {
    this.#broken = reason;
    this.#drop();
    return { end, result: { reason } };
  }
}

/** A request that is in one buffer: an ioctl's. Anything but exactly one request is a mismatch. */
export function readWhole(bytes: Buffer): Frame | Refusal {
  const newline = bytes.indexOf(NEWLINE);
  const head = readHead(newline === -1 ? bytes : bytes.subarray(0, newline));
  if (isRefusal(head)) return head;
  const body = newline === -1 ? NO_BYTES : bytes.subarray(newline + 1);
  if (body.length !== head.bodyBytes) return { reason: "bodyMismatch", detail: "bodyBytes" };
  return { fields: head.fields, body: Buffer.from(body), length: bytes.length };
}

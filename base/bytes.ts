/**
 * Byte strings being written and read: little-endian integers, and varints of seven bits a byte (low
 * bits first) for non-negative integers up to 2^53 - 1.
 */
import { assert } from "./assert.ts";

/** Bytes that end before the value does, or a value that no writer makes. */
export class MalformedError extends Error {
  override name = "MalformedError";
}

const VARINT_LENGTH_MAX = 8;

export class ByteWriter {
  #bytes: Buffer;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = Buffer.allocUnsafe(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** The bytes so far; valid until the next write or reset. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** The bytes so far, in memory of their own. */
  copy(): Buffer {
    return Buffer.from(this.view());
  }

  reset(): void {
    this.#length = 0;
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#length = this.#bytes.writeUInt32LE(value >>> 0, this.#length);
  }

  varint(value: number): void {
    this.#reserve(VARINT_LENGTH_MAX);
    const bytes = this.#bytes;
    let at = this.#length;
    let rest = value;
    while (rest >= 0x8000_0000) {
      bytes[at++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    while (rest >= 128) {
      bytes[at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.#length = at;
  }

  /** A signed integer of at most 52 bits, small magnitudes short. */
  signed(value: number): void {
    this.varint(value < 0 ? -value * 2 - 1 : value * 2);
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** A varint length and the bytes. */
  bytes(bytes: Uint8Array): void {
    this.varint(bytes.length);
    this.raw(bytes);
  }

  /** A byte string (latin1), with its length. */
  text(text: string): void {
    this.varint(text.length);
    this.rawText(text);
  }

  /** A byte string without its length. */
  rawText(text: string): void {
    this.#reserve(text.length);
    this.#length += this.#bytes.write(text, this.#length, "latin1");
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}

export class ByteReader {
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;

  constructor(bytes: Buffer, start = 0, end = bytes.length) {
    assert(start <= end && end <= bytes.length, "a reader's range lies in its bytes");
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  get left(): number {
    return this.#end - this.#at;
  }

  u8(): number {
    this.#need(1);
    return this.#bytes[this.#at++] as number;
  }

  u32(): number {
    this.#need(4);
    const value = this.#bytes.readUInt32LE(this.#at);
    this.#at += 4;
    return value;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < VARINT_LENGTH_MAX; count++) {
      const byte = this.u8();
      value += (byte & 127) * scale;
      if (byte < 128) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      scale *= 128;
    }
    throw new MalformedError("an integer is larger than 2^53 - 1");
  }

  signed(): number {
    const coded = this.varint();
    return coded % 2 === 0 ? coded / 2 : -(coded + 1) / 2;
  }

  /** A view of the next bytes, not a copy. */
  raw(length: number): Buffer {
    this.#need(length);
    const bytes = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return bytes;
  }

  bytes(): Buffer {
    return this.raw(this.varint());
  }

  text(): string {
    return this.rawText(this.varint());
  }

  rawText(length: number): string {
    this.#need(length);
    const text = this.#bytes.toString("latin1", this.#at, this.#at + length);
    this.#at += length;
    return text;
  }

  #need(count: number): void {
    if (this.#end - this.#at < count) {
      throw new MalformedError(`the bytes end ${count - this.left} too early`);
    }
  }
}

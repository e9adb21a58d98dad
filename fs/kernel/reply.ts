/**
 * One reply on its way into bytes. A connection has one Reply object; a handler fills the body and
 * returns its length, and the reply is sent before the next handler runs.
 *
 * Not here: the kernel's rules about what a reply may say (fs/kernel/requests/).
 */
import type { Errno } from "../../base/errno.ts";
import type { Attributes, Time } from "../attributes.ts";
import { attr, entryOut, outHeader } from "./abi.ts";

const word = 0x1_0000_0000;
const noBuffers: readonly Buffer[] = [];

export class Reply {
  /** Header and body. */
  readonly bytes: Buffer;
  /** Bytes that follow the body as they are: what a read returns is not copied. */
  tail: readonly Buffer[] = noBuffers;
  readonly bodyLengthMax: number;
  readonly #view: DataView;

  constructor(bodyLengthMax: number) {
    this.bodyLengthMax = bodyLengthMax;
    this.bytes = Buffer.alloc(outHeader.sizeof + bodyLengthMax);
    this.#view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
  }

  reset(): void {
    this.tail = noBuffers;
  }

  /** The finished reply, header first; valid until the next one is made. */
  finish(uniqueLow: number, uniqueHigh: number, error: Errno, bodyLength: number): Buffer[] {
    const view = this.#view;
    let length = outHeader.sizeof + bodyLength;
    const parts = [this.bytes.subarray(0, length)];
    for (const part of this.tail) {
      length += part.length;
      parts.push(part);
    }
    view.setUint32(outHeader.len, length, true);
    view.setInt32(outHeader.error, error, true);
    view.setUint32(outHeader.unique, uniqueLow, true);
    view.setUint32(outHeader.unique + 4, uniqueHigh, true);
    return parts;
  }

  /** Zeros for a structure that is filled next: no byte of an earlier reply leaves with this one. */
  clear(at: number, length: number): void {
    const start = outHeader.sizeof + at;
    this.bytes.fill(0, start, start + length);
  }

  u16(at: number, value: number): void {
    this.#view.setUint16(outHeader.sizeof + at, value, true);
  }

  u32(at: number, value: number): void {
    this.#view.setUint32(outHeader.sizeof + at, value, true);
  }

  /** A safe integer; a negative one becomes its two's complement. */
  u64(at: number, value: number): void {
    this.#view.setUint32(outHeader.sizeof + at, value, true);
    this.#view.setUint32(outHeader.sizeof + at + 4, Math.floor(value / word), true);
  }

  big(at: number, value: bigint): void {
    this.#view.setBigUint64(outHeader.sizeof + at, value, true);
  }

  /** A byte string. */
  text(at: number, value: string): void {
    this.bytes.write(value, outHeader.sizeof + at, "latin1");
  }

  copy(at: number, value: Uint8Array): void {
    this.bytes.set(value, outHeader.sizeof + at);
  }

  /** struct fuse_attr. Blocks are of 512 bytes and tell the logical size. */
  attributes(at: number, value: Attributes): void {
    this.u64(at + attr.ino, value.ino);
    this.u64(at + attr.size, value.size);
    this.u64(at + attr.blocks, Math.ceil(value.size / 512));
    this.#time(at + attr.atime, at + attr.atimensec, value.atime);
    this.#time(at + attr.mtime, at + attr.mtimensec, value.mtime);
    this.#time(at + attr.ctime, at + attr.ctimensec, value.ctime);
    this.u32(at + attr.mode, value.mode);
    this.u32(at + attr.nlink, value.nlink);
    this.u32(at + attr.uid, value.uid);
    this.u32(at + attr.gid, value.gid);
    this.u32(at + attr.rdev, value.rdev);
    this.u32(at + attr.blksize, 4096);
    this.u32(at + attr.flags, 0);
  }

  /** struct fuse_entry_out. Inode numbers are never used twice, so the generation is 0. */
  entry(at: number, value: Attributes, validSec: number): void {
    this.u64(at + entryOut.nodeid, value.ino);
    this.u64(at + entryOut.generation, 0);
    this.u64(at + entryOut.entry_valid, validSec);
    this.u64(at + entryOut.attr_valid, validSec);
    this.u32(at + entryOut.entry_valid_nsec, 0);
    this.u32(at + entryOut.attr_valid_nsec, 0);
    this.attributes(at + entryOut.attr, value);
  }

  #time(at: number, atNsec: number, value: Time): void {
    this.u64(at, value.sec);
    this.u32(atNsec, value.nsec);
  }
}

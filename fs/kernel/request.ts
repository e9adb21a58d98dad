/**
 * One request as it stands in the device's read buffer. A connection has one Request object and loads
 * each request into it: what outlives the handler's synchronous part must be taken out before.
 *
 * Offsets are relative to the body, behind the header. Reading beyond the request's end gives whatever
 * the buffer holds there, so the dispatcher checks the fixed part's size first (opcodes.ts) and the
 * methods here check the variable parts.
 */
import type { Caller } from "../caller.ts";
import { FUSE_UNIQUE_RESEND_HIGH, inHeader } from "./abi.ts";

const word = 0x1_0000_0000;

export class Request {
  bytes: Buffer = Buffer.alloc(0);
  opcode = 0;
  /** The request's number, in halves: it only travels back into the reply. */
  uniqueLow = 0;
  uniqueHigh = 0;
  /** The number without the bit of a request that is sent again. */
  unique = 0;
  /** The kernel asks again: a process that has died had it. */
  isAgain = false;
  node = 0;
  #view: DataView = new DataView(new ArrayBuffer(inHeader.sizeof));
  #end = 0;

  /**
   * Takes `length` bytes as a request. "short": not even a header, nothing can be answered;
   * "malformed": the length in the header is wrong.
   */
  load(bytes: Buffer, length: number): "ok" | "short" | "malformed" {
    if (length < inHeader.sizeof) return "short";
    if (bytes !== this.bytes) {
      this.bytes = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    const view = this.#view;
    this.opcode = view.getUint32(inHeader.opcode, true);
    this.uniqueLow = view.getUint32(inHeader.unique, true);
    this.uniqueHigh = view.getUint32(inHeader.unique + 4, true);
    const high = this.uniqueHigh;
    this.isAgain = high >= FUSE_UNIQUE_RESEND_HIGH;
    this.unique = this.uniqueLow + (this.isAgain ? high - FUSE_UNIQUE_RESEND_HIGH : high) * word;
    this.node =
      view.getUint32(inHeader.nodeid, true) + view.getUint32(inHeader.nodeid + 4, true) * word;
    this.#end = length - view.getUint16(inHeader.total_extlen, true) * 8;
    const fits = view.getUint32(inHeader.len, true) === length && this.#end >= inHeader.sizeof;
    return fits ? "ok" : "malformed";
  }

  /** Bytes of the body, without extensions. */
  get bodyLength(): number {
    return this.#end - inHeader.sizeof;
  }

  get caller(): Caller {
    const view = this.#view;
    return {
      uid: view.getUint32(inHeader.uid, true),
      gid: view.getUint32(inHeader.gid, true),
      pid: view.getUint32(inHeader.pid, true),
    };
  }

  /** The thread's number; 0 when the kernel asks by itself. */
  get pid(): number {
    return this.#view.getUint32(inHeader.pid, true);
  }

  u32(at: number): number {
    return this.#view.getUint32(inHeader.sizeof + at, true);
  }

  /** Exact up to 2^53; what is greater stays greater than Number.MAX_SAFE_INTEGER. */
  u64(at: number): number {
    const view = this.#view;
    const low = view.getUint32(inHeader.sizeof + at, true);
    return low + view.getUint32(inHeader.sizeof + at + 4, true) * word;
  }

  /** The number of another request, without the bit of one that was sent again. */
  uniqueAt(at: number): number {
    const view = this.#view;
    const high = view.getUint32(inHeader.sizeof + at + 4, true);
    return view.getUint32(inHeader.sizeof + at, true) + (high % FUSE_UNIQUE_RESEND_HIGH) * word;
  }

  /** A signed 64-bit number: times before 1970. */
  i64(at: number): number {
    const view = this.#view;
    const low = view.getUint32(inHeader.sizeof + at, true);
    return low + view.getInt32(inHeader.sizeof + at + 4, true) * word;
  }

  big(at: number): bigint {
    return this.#view.getBigUint64(inHeader.sizeof + at, true);
  }

  /** The NUL-terminated string at `at` as a byte string; undefined when it is empty or has no end. */
  name(at: number): string | undefined {
    const start = inHeader.sizeof + at;
    const end = this.bytes.indexOf(0, start);
    if (end <= start || end >= this.#end) return undefined;
    return this.bytes.toString("latin1", start, end);
  }

  /** `length` bytes of the body in place, valid until the handler returns; undefined when they are not there. */
  data(at: number, length: number): Buffer | undefined {
    const start = inHeader.sizeof + at;
    if (start + length > this.#end) return undefined;
    return this.bytes.subarray(start, start + length);
  }
}

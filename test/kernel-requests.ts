/** Makes FUSE requests byte by byte, speaks them to a Protocol, and takes the replies apart. */
import { attr, entryOut, inHeader, initIn, opcode, openOut, outHeader } from "../fs/kernel/abi.ts";
import { Protocol } from "../fs/kernel/protocol.ts";
import { MemoryOperations } from "./kernel-memory.ts";

export interface Answered {
  readonly error: number;
  readonly unique: bigint;
  readonly body: Buffer;
}

type OpcodeName = keyof typeof opcode;

/** One field of a body: its bytes. */
export const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};
export const u64 = (value: number | bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt.asIntN(64, BigInt(value)));
  return bytes;
};
export const text = (value: string): Buffer => Buffer.from(`${value}\0`, "latin1");

export function requestBytes(
  number: number,
  unique: number | bigint,
  node: number,
  body: readonly Buffer[] = [],
): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(inHeader.sizeof), ...body]);
  bytes.writeUInt32LE(bytes.length, inHeader.len);
  bytes.writeUInt32LE(number >>> 0, inHeader.opcode);
  bytes.writeBigUInt64LE(BigInt(unique), inHeader.unique);
  bytes.writeBigUInt64LE(BigInt(node), inHeader.nodeid);
  bytes.writeUInt32LE(1001, inHeader.uid);
  bytes.writeUInt32LE(2001, inHeader.gid);
  bytes.writeUInt32LE(4242, inHeader.pid);
  return bytes;
}

export class Speaker {
  readonly operations = new MemoryOperations();
  readonly invalidated: { ino: number; offset: number; repliesBefore: number }[] = [];
  /** Invalidations that are under way, by inode. */
  readonly unsettled = new Map<number, Promise<void>>();
  /** Inodes of whose attributes the kernel was told that they are out of date, with the replies before that. */
  readonly outdated: { ino: number; repliesBefore: number }[] = [];
  readonly lastBytes: { ino: number; offset: number; byte: number }[] = [];
  readonly fatal: unknown[] = [];
  readonly replies: Answered[] = [];
  /** The kernel does not take the next reply. */
  loseNext = false;
  readonly protocol: Protocol;
  #unique = 0;

  constructor({ isInitialized = true } = {}) {
    this.protocol = new Protocol(
      this.operations,
      {
        send: (parts) => this.#receive(parts),
        invalidate: (ino, offset) => {
          this.invalidated.push({ ino, offset, repliesBefore: this.replies.length });
          return Promise.resolve();
        },
        settled: (ino) =>
          ino === undefined ? [...this.unsettled.values()].at(-1) : this.unsettled.get(ino),
        outdate: (ino) => this.outdated.push({ ino, repliesBefore: this.replies.length }),
        tellLastByte: (last) => this.lastBytes.push(last),
        fatal: (error) => this.fatal.push(error),
      },
      { attributeTimeoutSec: 3600, transferLengthMax: 1024 * 1024 },
    );
    if (isInitialized) this.ask("INIT", 0, initBody(7, 40));
  }

  get lastUnique(): number {
    return this.#unique;
  }

  /** Sends a request and gives its reply; throws when it was not answered at once. */
  ask(name: OpcodeName, node: number, body: readonly Buffer[] = []): Answered {
    const before = this.replies.length;
    this.send(name, node, body);
    const reply = this.replies[before];
    if (reply === undefined) throw new Error(`${name} was not answered`);
    return reply;
  }

  /** Sends a request and waits for its reply. */
  async askSoon(name: OpcodeName, node: number, body: readonly Buffer[] = []): Promise<Answered> {
    const before = this.replies.length;
    this.send(name, node, body);
    for (let turn = 0; turn < 100 && this.replies.length === before; turn += 1) await tick();
    const reply = this.replies[before];
    if (reply === undefined) throw new Error(`${name} was not answered`);
    return reply;
  }

  /** Sends a request; returns its number. */
  send(name: OpcodeName, node: number, body: readonly Buffer[] = []): number {
    this.#unique += 2;
    const bytes = requestBytes(opcode[name], this.#unique, node, body);
    this.protocol.handle(bytes, bytes.length);
    return this.#unique;
  }

  /** The inode number of a name in the root. */
  lookup(name: string): number {
    return nodeOf(this.ask("LOOKUP", 1, [text(name)]));
  }

  open(ino: number, flags: number): number {
    return handleOf(this.ask("OPEN", ino, [u32(flags), u32(0)]));
  }

  /** An invalidation is under way until the returned function is called. */
  unsettle(ino: number): () => void {
    let resolve = (): void => {};
    const settled = new Promise<void>((settle) => {
      resolve = settle;
    });
    this.unsettled.set(ino, settled);
    return () => {
      this.unsettled.delete(ino);
      resolve();
    };
  }

  #receive(parts: readonly Buffer[]): boolean {
    const bytes = Buffer.concat(parts);
    if (this.loseNext) {
      this.loseNext = false;
      return false;
    }
    if (bytes.readUInt32LE(outHeader.len) !== bytes.length) throw new Error("length of a reply");
    this.replies.push({
      error: bytes.readInt32LE(outHeader.error),
      unique: bytes.readBigUInt64LE(outHeader.unique),
      body: bytes.subarray(outHeader.sizeof),
    });
    return true;
  }
}

export function initBody(major: number, minor: number, flags = 0xffff_ffff): Buffer[] {
  const rest = Buffer.alloc(initIn.sizeof - initIn.flags2 - 4);
  return [u32(major), u32(minor), u32(131_072), u32(flags), u32(0xffff_ffff), rest];
}

export function nodeOf({ body }: Answered): number {
  return Number(body.readBigUInt64LE(entryOut.nodeid));
}

export function sizeOf({ body }: Answered, attributesAt: number): number {
  return Number(body.readBigUInt64LE(attributesAt + attr.size));
}

export function handleOf({ body }: Answered, at = 0): number {
  return Number(body.readBigUInt64LE(at + openOut.fh));
}

export function tick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

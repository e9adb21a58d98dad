/** Serving processes without a mount, one after the other over the same journal: what each of them finds. */
import { closeSync, cpSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";
import { opcode } from "../fs/kernel/abi.ts";
import { InheritedInodes } from "../fs/kernel/inherited-inodes.ts";
import { Protocol } from "../fs/kernel/protocol.ts";
import { Spool } from "../fs/spool.ts";
import { readInherited } from "../fs/takeover/inherited.ts";
import { TakeoverJournal } from "../fs/takeover/journal.ts";
import { MemoryJournal } from "../fs/takeover/memory-journal.ts";
import type { Answered } from "./kernel-requests.ts";
import {
  handleOf,
  initBody,
  nodeOf,
  requestBytes,
  text,
  tick,
  u32,
  u64,
} from "./kernel-requests.ts";

const O_RDWR = 2;
const S_IFREG = 0o100000;

export type OpcodeName = keyof typeof opcode;
export type Body = readonly Buffer[];

export class Killed extends Error {}

/** A serving process, as far as it has no mount. */
export class Life {
  readonly spool: Spool;
  /** Inodes of which the kernel is told that they have changed. */
  readonly told: number[] = [];
  /** While it is set, it has not heard of those. */
  notice: Promise<void> | undefined;
  readonly #protocol: Protocol;
  readonly #replies: Answered[] = [];
  isDying = false;
  #lost: bigint | undefined;
  #unique = 0;

  private constructor(spool: Spool, journal: TakeoverJournal) {
    this.spool = spool;
    this.#protocol = new Protocol(
      spool.operations,
      {
        send: (parts) => this.#receive(Buffer.concat(parts)),
        invalidate: () => undefined,
        settled: () => undefined,
        outdate: () => undefined,
        tellLastByte: () => undefined,
        fatal: (error) => {
          if (!(error instanceof Killed)) throw error;
        },
      },
      { attributeTimeoutSec: 3600, transferLengthMax: 1024 * 1024 },
      journal,
    );
    const { session } = this.#protocol;
    session.onConnected = () => journal.connected(session.minor, true);
  }

  static async begin(
    store: string,
    files: readonly [number, number],
    notice?: Promise<void>,
  ): Promise<Life> {
    const memory = new MemoryJournal(files);
    const records = memory.read();
    const inherited = records.length === 0 ? undefined : readInherited(records);
    const sec = Math.max(1_800_000_000, (inherited?.handleSec ?? 0) + 1);
    const journal = new TakeoverJournal(memory, sec);
    const takeover = { device: -1, journal, inherited };
    const spool = await Spool.open(store, { create: true, takeover });
    const life = new Life(spool, journal);
    life.notice = notice;
    const { session } = life.#protocol;
    if (inherited === undefined) life.ask("INIT", 0, initBody(7, 40));
    else {
      session.minor = inherited.minor;
      session.inherited = new InheritedInodes(spool.store.inoEnd, () => undefined);
      spool.resume({
        invalidate: (ino) => {
          life.told.push(ino);
          return life.notice;
        },
      });
    }
    return life;
  }

  ask(name: OpcodeName, node: number, body: Body): Answered {
    this.send(name, node, body, BigInt((this.#unique += 2)));
    return this.#replies.at(-1)!;
  }

  async askSoon(name: OpcodeName, node: number, body: Body, unique: bigint): Promise<Answered> {
    const before = this.#replies.length;
    this.send(name, node, body, unique);
    for (let turn = 0; turn < 1000 && this.#replies.length === before; turn++) await tick();
    return this.#replies[before]!;
  }

  /** It is carried out, and the process dies before its reply. */
  async loseReplyTo(name: OpcodeName, node: number, body: Body, unique: bigint): Promise<void> {
    this.#lost = unique;
    this.send(name, node, body, unique);
    for (let turn = 0; turn < 1000 && this.#lost !== undefined; turn++) await tick();
    this.isDying = true;
  }

  send(name: OpcodeName, node: number, body: Body, unique: bigint): void {
    const bytes = requestBytes(opcode[name], unique, node, body);
    this.#protocol.handle(bytes, bytes.length);
  }

  #receive(bytes: Buffer): boolean {
    if (this.isDying) throw new Killed();
    const error = bytes.readInt32LE(4);
    if (this.#lost === bytes.readBigUInt64LE(8)) {
      this.#lost = undefined;
      return false;
    }
    this.#replies.push({ error, unique: bytes.readBigUInt64LE(8), body: bytes.subarray(16) });
    return true;
  }
}

export const creating = (name: string): Body => [
  u32(O_RDWR),
  u32(S_IFREG | 0o644),
  u32(0),
  u32(0),
  text(name),
];
export const create = (life: Life, name: string, content = ""): { ino: number; handle: number } => {
  const made = life.ask("CREATE", 1, creating(name));
  const [ino, handle] = [nodeOf(made), handleOf(made, 128)];
  if (content !== "") life.ask("WRITE", ino, writing(handle, content, 0));
  return { ino, handle };
};
export const writing = (handle: number, content: string, flags: number): Body => [
  u64(handle),
  u64(0),
  u32(content.length),
  u32(0),
  u64(0),
  u32(flags),
  u32(0),
  Buffer.from(content),
];

export interface Lives {
  readonly first: Life;
  /** The last one is dead; the next one goes on with a copy of its store. */
  readonly next: (notice?: Promise<void>) => Promise<Life>;
}

export async function livesOf(t: Test): Promise<Lives> {
  const directory = mkdtempSync(join(tmpdir(), "onespool-lives-"));
  const files = [0, 1].map((k) => openSync(join(directory, `j${k}`), "w+"));
  const pair = files as unknown as readonly [number, number];
  const all: Life[] = [];
  const begin = async (notice?: Promise<void>): Promise<Life> => {
    const life = await Life.begin(join(directory, `${all.length}`), pair, notice);
    all.push(life);
    return life;
  };
  t.teardown(async () => {
    for (const { spool } of all) await spool.close();
    for (const file of files) closeSync(file);
    rmSync(directory, { recursive: true, force: true });
  });
  const next = (notice?: Promise<void>): Promise<Life> => {
    const last = all.at(-1)!;
    last.isDying = true;
    last.spool.store.observer = undefined;
    const before = join(directory, `${all.length - 1}`);
    cpSync(before, join(directory, `${all.length}`), { recursive: true });
    return begin(notice);
  };
  return { first: await begin(), next };
}

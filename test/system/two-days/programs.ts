/**
 * A spool as programs use it, without a mount: operations as the kernel asks for them, and what a kernel does besides. It
 * knows inodes as long as a name was looked up or a file is open, forgets them now and then, and numbers its requests for
 * the journal of a takeover.
 */
import type { Errno } from "../../../base/errno.ts";
import { ENOENT } from "../../../base/errno.ts";
import type { Caller } from "../../../fs/caller.ts";
import { CONTROL_INO } from "../../../fs/files/control.ts";
import type { LockRequest } from "../../../fs/locks/table.ts";
import type { Invalidator, Operations } from "../../../fs/operations.ts";
import type { Spool } from "../../../fs/spool.ts";
import type { TakeoverJournal } from "../../../fs/takeover/journal.ts";
import { ok, RDWR, ROOT } from "../../files-harness.ts";
import type { Random } from "../../reclaim-model.ts";

/** This process: the file system looks its groups up. */
const CALLER: Caller = { uid: 0, gid: 0, pid: process.pid };
const REQUEST_BYTES_MAX = 128 * 1024;
const REPLY_BYTES_MAX = 64 * 1024;
const O_EXCL = 0o200;
const TWO_TO_32 = 2 ** 32;

export interface OpenedFile {
  readonly ino: number;
  readonly handle: number;
}

export class Programs {
  readonly #operations: Operations;
  readonly #journal: TakeoverJournal;
  readonly #known = new Set<number>();
  readonly #opens = new Map<number, number>();
  #unique = 2;

  constructor(spool: Spool, journal: TakeoverJournal) {
    this.#operations = spool.operations;
    this.#journal = journal;
    const invalidator: Invalidator = {
      invalidate: (ino) => (this.#known.has(ino) ? Promise.resolve() : undefined),
    };
    spool.setInvalidator(invalidator);
  }

  /** `isOnce`: it must not be carried out twice. */
  async #ask<T>(
    isOnce: boolean,
    work: (operations: Operations) => T | Errno | Promise<T | Errno>,
  ): Promise<T | Errno> {
    const unique = (this.#unique += 2);
    this.#journal.handle(unique, isOnce);
    let result: T | Errno | Promise<T | Errno>;
    try {
      result = work(this.#operations);
    } finally {
      this.#journal.handled();
    }
    const value = result instanceof Promise ? await result : result;
    this.#journal.answered(unique % TWO_TO_32, Math.floor(unique / TWO_TO_32));
    return value;
  }

  #opened(ino: number, handle: number): OpenedFile {
    this.#known.add(ino);
    this.#opens.set(ino, (this.#opens.get(ino) ?? 0) + 1);
    return { ino, handle };
  }

  /** 0 when there is no such name. */
  async lookup(parent: number, name: string): Promise<number> {
    const found = await this.#ask(false, (all) => all.lookup(parent, name, CALLER));
    if (found === ENOENT) return 0;
    const { ino } = ok(found);
    this.#known.add(ino);
    return ino;
  }

  async open(ino: number, flags = RDWR): Promise<OpenedFile> {
    const { handle } = ok(await this.#ask(false, (all) => all.open(ino, flags, CALLER)));
    return this.#opened(ino, handle);
  }

  async create(parent: number, name: string, flags = RDWR): Promise<OpenedFile> {
    const made = await this.#ask(true, (all) =>
      all.create(parent, name, 0o600, flags | O_EXCL, CALLER),
    );
    const { attributes, open } = ok(made);
    return this.#opened(attributes.ino, open.handle);
  }

  async close({ ino, handle }: OpenedFile): Promise<void> {
    await this.#ask(true, (all) => all.flush(ino, handle, BigInt(handle)));
    await this.#ask(false, (all) => all.release(ino, handle) as unknown as 0);
    const left = (this.#opens.get(ino) ?? 0) - 1;
    if (left > 0) this.#opens.set(ino, left);
    else this.#opens.delete(ino);
    if (left <= 0 && !this.#hasName(ino)) this.#forget(ino);
  }

  size(ino: number): number {
    return ok(this.#operations.getAttributes(ino)).size;
  }

  #hasName(ino: number): boolean {
    const found = this.#operations.getAttributes(ino);
    return typeof found !== "number" && found.nlink > 0;
  }

  async read({ ino, handle }: OpenedFile): Promise<Buffer> {
    const size = this.size(ino);
    const pieces: Buffer[] = [];
    for (let at = 0; at < size; at += REQUEST_BYTES_MAX) {
      const length = Math.min(REQUEST_BYTES_MAX, size - at);
      const read = ok(await this.#ask(false, (all) => all.read(ino, handle, at, length, CALLER)));
      // Valid until the next operation only.
      for (const piece of read) pieces.push(Buffer.from(piece));
    }
    return Buffer.concat(pieces);
  }

  async write({ ino, handle }: OpenedFile, offset: number, bytes: Buffer, flags = RDWR) {
    for (let at = 0; at < bytes.length; at += REQUEST_BYTES_MAX) {
      // A buffer that the next request comes in.
      const data = Buffer.from(bytes.subarray(at, at + REQUEST_BYTES_MAX));
      const request = { ino, handle, offset: offset + at, data, flags };
      const { length } = ok(await this.#ask(true, (all) => all.write(request, CALLER)));
      if (length !== data.length) throw new Error(`wrote ${length} of ${data.length}`);
      data.fill(0xdb);
    }
  }

  async truncate(ino: number, size: number): Promise<void> {
    ok(await this.#ask(true, (all) => all.setAttributes(ino, { size }, CALLER)));
  }

  async sync(ino: number): Promise<void> {
    ok(await this.#ask(false, (all) => all.sync(ino)));
  }

  async lock({ ino, handle }: OpenedFile, type: LockRequest["type"]): Promise<void> {
    const range = { start: 0, end: Number.MAX_SAFE_INTEGER };
    const owner = { owner: BigInt(handle), handle, pid: CALLER.pid };
    const request: LockRequest = { ...owner, ...range, flavor: "posix", type };
    ok(await this.#ask(true, (all) => all.setLock(ino, request)));
  }

  async unlink(parent: number, name: string): Promise<void> {
    const ino = await this.lookup(parent, name);
    ok(await this.#ask(true, (all) => all.unlink(parent, name, CALLER)));
    if (!this.#opens.has(ino) && !this.#hasName(ino)) this.#forget(ino);
  }

  async rename(parent: number, name: string, newName: string): Promise<void> {
    const replaced = await this.lookup(parent, newName);
    ok(await this.#ask(true, (all) => all.rename(parent, name, parent, newName, 0, CALLER)));
    if (replaced !== 0 && !this.#opens.has(replaced)) this.#forget(replaced);
  }

  async link(ino: number, parent: number, name: string): Promise<void> {
    ok(await this.#ask(true, (all) => all.link(ino, parent, name, CALLER)));
  }

  async makeDirectory(parent: number, name: string): Promise<number> {
    const made = ok(await this.#ask(true, (all) => all.makeDirectory(parent, name, 0o755, CALLER)));
    this.#known.add(made.ino);
    return made.ino;
  }

  async removeDirectory(parent: number, name: string): Promise<void> {
    const ino = await this.lookup(parent, name);
    ok(await this.#ask(true, (all) => all.removeDirectory(parent, name, CALLER)));
    this.#forget(ino);
  }

  async list(ino: number): Promise<string[]> {
    const handle = ok(await this.#ask(false, (all) => all.openDirectory(ino)));
    const names: string[] = [];
    for (let cookie = 0; ;) {
      const found = ok(
        await this.#ask(false, (all) => all.readDirectory(ino, handle, cookie, 100)),
      );
      const last = found.at(-1);
      if (last === undefined) break;
      for (const { name } of found) names.push(name);
      cookie = last.cookie;
    }
    await this.#ask(false, (all) => all.releaseDirectory(handle) as unknown as 0);
    return names;
  }

  async setXattr(ino: number, name: string, value: Buffer): Promise<void> {
    ok(await this.#ask(true, (all) => all.setXattr(ino, name, value, 0)));
  }

  /** A conversation with the hints (docs/HINTS.md). */
  converse(): Promise<OpenedFile> {
    return this.open(CONTROL_INO);
  }

  async request(
    { ino, handle }: OpenedFile,
    fields: Readonly<Record<string, unknown>>,
    body: Buffer = Buffer.alloc(0),
  ): Promise<Record<string, unknown>> {
    const line = Buffer.from(`${JSON.stringify({ ...fields, bodyBytes: body.length })}\n`);
    await this.write({ ino, handle }, 0, Buffer.concat([line, body]));
    let text = "";
    while (!text.endsWith("\n")) {
      const read = ok(
        await this.#ask(false, (all) => all.read(ino, handle, 0, REPLY_BYTES_MAX, CALLER)),
      );
      text += Buffer.concat(read).toString();
    }
    const reply = JSON.parse(text) as Record<string, unknown>;
    if (reply["ok"] !== true) throw new Error(`refused: ${text}`);
    return reply;
  }

  #forget(ino: number): void {
    if (this.#known.delete(ino)) this.#operations.forget(ino);
  }

  /** As a kernel that needs memory: some of what nobody has open. */
  forgetSome(random: Random): void {
    for (const ino of this.#known) {
      if (ino !== ROOT && !this.#opens.has(ino) && random.below(3) === 0) this.#forget(ino);
    }
  }
}

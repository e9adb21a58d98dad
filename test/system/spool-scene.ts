/** What programs do to a spool, by path, one call after the other. A call that is refused throws. */
import { errnoName, isErrno, type Errno } from "../../base/errno.ts";
import type { AttributeChange } from "../../fs/attributes.ts";
import type { LockRequest } from "../../fs/locks/table.ts";
import type { Operations } from "../../fs/operations.ts";
import type { Spool } from "../../fs/spool.ts";
import { ROOT_INO } from "../../fs/store/state/counters.ts";
import { APPEND, ok, RDWR } from "../files-harness.ts";

/** This process, for the file system reads the opener's groups from /proc. */
export const CALLER = { uid: process.getuid!(), gid: process.getgid!(), pid: process.pid };
export const O_SYNC = 0o4010000;
const CONTROL_INO = 2;

export interface StepKind {
  /** When it is answered, it and all before it are on stable storage. */
  readonly durable?: boolean;
  /** Of what it does a crash may leave the beginning. */
  readonly inParts?: boolean;
}

export interface Stepper {
  readonly spool: Spool;
  step<T>(call: () => T | Promise<T>, kind?: StepKind): Promise<T>;
  reopen(): Promise<void>;
}

export type Reply = Record<string, unknown>;

/** A mailbox of a delivery: its path, or with bytes of its own. */
export type Recipient = string | { readonly path: string; readonly own: string };

export class SpoolScene {
  readonly stepper: Stepper;
  #handles = 100;

  constructor(stepper: Stepper) {
    this.stepper = stepper;
  }

  get operations(): Operations {
    return this.stepper.spool.operations;
  }

  /** 0: it is not there. */
  ino(path: string): number {
    let ino = ROOT_INO;
    for (const name of path.split("/")) {
      if (name !== "") ino = this.stepper.spool.store.lookup(ino, name);
    }
    return ino;
  }

  size(path: string): number {
    return ok(this.operations.getAttributes(this.ino(path))).size;
  }

  async text(path: string): Promise<string> {
    const read = await this.operations.read(this.ino(path), 0, 0, 1 << 24, CALLER);
    return Buffer.concat(ok(read)).toString("latin1");
  }

  make(path: string): Promise<number> {
    const at = this.#place(path);
    return this.#step(() => ok(this.operations.makeNode(...at, 0o100600, 0, CALLER)).ino);
  }

  makeDirectory(path: string): Promise<number> {
    const at = this.#place(path);
    return this.#step(() => ok(this.operations.makeDirectory(...at, 0o755, CALLER)).ino);
  }

  async symlink(path: string, target: string): Promise<void> {
    const at = this.#place(path);
    await this.#step(() => ok(this.operations.symlink(...at, Buffer.from(target), CALLER)));
  }

  async link(from: string, path: string): Promise<void> {
    await this.#step(() => ok(this.operations.link(this.ino(from), ...this.#place(path), CALLER)));
  }

  /** Nobody has it open, and the kernel forgets what has no name left. */
  async unlink(path: string): Promise<void> {
    const ino = this.ino(path);
    await this.#step(() => {
      done(this.operations.unlink(...this.#place(path), CALLER));
      this.operations.forget(ino);
    });
  }

  async removeDirectory(path: string): Promise<void> {
    const ino = this.ino(path);
    await this.#step(() => {
      done(this.operations.removeDirectory(...this.#place(path), CALLER));
      this.operations.forget(ino);
    });
  }

  async rename(from: string, to: string, flags = 0): Promise<void> {
    const replaced = this.ino(to);
    await this.#step(() => {
      done(this.operations.rename(...this.#place(from), ...this.#place(to), flags, CALLER));
      if (replaced !== 0 && flags === 0) this.operations.forget(replaced);
    });
  }

  async write(path: string, offset: number, text: string, flags = RDWR): Promise<void> {
    const data = Buffer.from(text, "latin1");
    const request = { ino: this.ino(path), handle: 0, offset, data, flags };
    const durable = (flags & O_SYNC) !== 0;
    const write = async () => ok(await this.operations.write(request, CALLER));
    await this.stepper.step(write, { durable });
  }

  append(path: string, text: string): Promise<void> {
    return this.write(path, 0, text, APPEND);
  }

  async change(path: string, change: AttributeChange): Promise<void> {
    await this.#step(() => ok(this.operations.setAttributes(this.ino(path), change, CALLER)));
  }

  /** FALLOC_FL_PUNCH_HOLE (3), FALLOC_FL_ZERO_RANGE (0x10). */
  async allocate(path: string, mode: number, offset: number, length: number): Promise<void> {
    await this.#step(() => done(this.operations.allocate(this.ino(path), mode, offset, length)));
  }

  async copy(from: [string, number], to: [string, number], length: number): Promise<void> {
    const [source, target] = [from, to].map(([path, offset]) => ({ ino: this.ino(path), offset }));
    await this.#step(() => ok(this.operations.copyRange(source!, target!, length)));
  }

  async setXattr(path: string, name: string, value: string | undefined): Promise<void> {
    const ino = this.ino(path);
    await this.#step(() =>
      done(
        value === undefined
          ? this.operations.removeXattr(ino, name)
          : this.operations.setXattr(ino, name, Buffer.from(value), 0),
      ),
    );
  }

  /** fsync(2), of a directory too. */
  async sync(path: string): Promise<void> {
    await this.stepper.step(async () => done(await this.operations.sync(this.ino(path))), {
      durable: true,
    });
  }

  open(path: string): number {
    return ok(this.operations.open(this.ino(path), RDWR, CALLER)).handle;
  }

  /** The last close of a file may end what was kept of it. */
  async close(ino: number, handle: number): Promise<void> {
    await this.#step(() => {
      this.operations.release(ino, handle);
      if (ok(this.operations.getAttributes(ino)).nlink === 0) this.operations.forget(ino);
    });
  }

  /** Returns what unlocks it; of mail that pended there a part may show first. */
  async lock(path: string, flavor: LockRequest["flavor"] = "flock"): Promise<() => Promise<void>> {
    const ino = this.ino(path);
    const handle = this.#handles++;
    const owner = { owner: BigInt(handle), handle, flavor, pid: 1 };
    const range = { start: 0, end: Number.MAX_SAFE_INTEGER };
    done(await this.operations.setLock(ino, { ...owner, ...range, type: "write" }));
    return () =>
      this.stepper.step(
        async () => {
          done(await this.operations.setLock(ino, { ...owner, ...range, type: "unlock" }));
        },
        { inParts: true },
      );
  }

  deliver(text: string, to: readonly Recipient[], fields: object = {}): Promise<Reply> {
    return this.request({ ...fields, ...deliveryOf([{ bytes: text.length }], to) }, [
      text,
      ...to.map((recipient) => (typeof recipient === "string" ? "" : recipient.own)),
    ]);
  }

  /** One request through a session of its own. */
  request(fields: object, body: readonly string[] = []): Promise<Reply> {
    return this.stepper.step(
      async () => {
        const session = this.session();
        const reply = await session.ask(fields, body);
        session.close();
        return reply;
      },
      { durable: true },
    );
  }

  session(): ControlFile {
    return new ControlFile(this.operations);
  }

  #step<T>(call: () => T): Promise<T> {
    return this.stepper.step(call);
  }

  #place(path: string): [parent: number, name: string] {
    const slash = path.lastIndexOf("/");
    return [this.ino(path.slice(0, Math.max(0, slash))), path.slice(slash + 1)];
  }
}

export function deliveryOf(shared: readonly object[], to: readonly Recipient[]): object {
  const boxes = to.map((recipient) =>
    typeof recipient === "string"
      ? { path: recipient, create: { mode: 0o600 } }
      : { path: recipient.path, privateBytes: recipient.own.length, create: { mode: 0o600 } },
  );
  return { op: "deliver", shared, to: boxes };
}

/** An open control file. */
export class ControlFile {
  readonly #operations: Operations;
  readonly #handle: number;

  constructor(operations: Operations) {
    this.#operations = operations;
    this.#handle = ok(operations.open(CONTROL_INO, RDWR, CALLER)).handle;
  }

  async ask(fields: object, body: readonly string[] = []): Promise<Reply> {
    const bytes = body.join("");
    const line = JSON.stringify({ ...fields, bodyBytes: bytes.length });
    const data = Buffer.from(`${line}\n${bytes}`, "latin1");
    const sent = { ino: CONTROL_INO, handle: this.#handle, offset: 0, data, flags: RDWR };
    ok(await this.#operations.write(sent, CALLER));
    const read = await this.#operations.read(CONTROL_INO, this.#handle, 0, 65_536, CALLER);
    const reply = JSON.parse(Buffer.concat(ok(read)).toString()) as Reply;
    if (reply["ok"] !== true) throw new Error(`refused: ${JSON.stringify(reply)}`);
    return reply;
  }

  close(): void {
    this.#operations.release(CONTROL_INO, this.#handle);
  }
}

function done(result: 0 | Errno): void {
  if (isErrno(result)) throw new Error(`refused: ${errnoName(result)}`);
}

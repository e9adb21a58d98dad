/** Hints and deliveries over a real store in a temporary directory, without a mount. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errnoName, isErrno } from "../base/errno.ts";
import type { Time } from "../fs/attributes.ts";
import { isDirectory, isRegular } from "../fs/attributes.ts";
import type { Caller } from "../fs/caller.ts";
import { Deliveries } from "../fs/delivery/deliveries.ts";
import type { PendingLimits } from "../fs/delivery/pending-limits.ts";
import { pendingLimits } from "../fs/delivery/pending-limits.ts";
import { Invalidations } from "../fs/delivery/invalidations.ts";
import { Files } from "../fs/files/files.ts";
import type { DeliverAccount } from "../fs/hints/deliver-account.ts";
import { Hints } from "../fs/hints/hints.ts";
import type { HintSession } from "../fs/hints/session.ts";
import { LockTable } from "../fs/locks/table.ts";
import { Store } from "../fs/store/store.ts";

export const ROOT = 1;
export const ROOT_CALLER: Caller = { uid: 0, gid: 0, pid: 1 };
export const ALICE: Caller = { uid: 1001, gid: 2001, pid: 10 };
export const BOB: Caller = { uid: 1002, gid: 2002, pid: 11 };
/** Bob is also in this group. */
export const MAIL_GROUP = 8;
export const DELIVERER: Caller = { uid: 500, gid: 500, pid: 12 };

export type Reply = Record<string, unknown>;

export interface HarnessOptions {
  readonly deliverAccount?: DeliverAccount;
  readonly pendingLimits?: PendingLimits;
}

export class Harness {
  readonly directory = mkdtempSync(join(tmpdir(), "onespool-hints-"));
  /** Seconds; it moves only when a test moves it. */
  sec = 1_700_000_000;
  /** "ino@offset" of every notice to the kernel. */
  readonly invalidated: string[] = [];
  /** While set, notices do not come back before it resolves. */
  notice: Promise<void> | undefined;
  store!: Store;
  locks!: LockTable;
  deliveries!: Deliveries;
  invalidations!: Invalidations;
  hints!: Hints;
  files!: Files;
  #options: HarnessOptions;

  private constructor(options: HarnessOptions) {
    this.#options = options;
  }

  static async open(options: HarnessOptions = {}): Promise<Harness> {
    const harness = new Harness(options);
    await harness.start();
    return harness;
  }

  readonly now = (): Time => ({ sec: this.sec, nsec: 0 });

  async start(): Promise<void> {
    const store = await Store.open(this.directory, { create: true, now: this.now });
    const locks = new LockTable({ onUnlocked: (ino) => this.deliveries.unlocked(ino) });
    const invalidations = new Invalidations();
    invalidations.use({
      invalidate: (ino, offset) => {
        this.invalidated.push(`${ino}@${offset}`);
        return this.notice;
      },
    });
    const { now } = this;
    const limits = this.#options.pendingLimits ?? pendingLimits;
    const deliveries = new Deliveries({ store, locks, invalidations, now, limits });
    const hints = new Hints({
      store,
      locks,
      deliveries,
      invalidations,
      now,
      deliverAccount: this.#options.deliverAccount,
      openerOf: (caller) => ({
        ...caller,
        processId: caller.pid,
        groups: caller.uid === BOB.uid ? [MAIL_GROUP] : [],
      }),
    });
    const files = new Files({
      store,
      locks,
      hints,
      now,
      nameChanged: (parent, name) => deliveries.nameChanged(parent, name),
      hasPendingIn: (directory) => deliveries.hasPendingIn(directory),
      settled: (ino) => invalidations.settled(ino),
      isKnown: () => true,
    });
    Object.assign(this, { store, locks, deliveries, invalidations, hints, files });
    deliveries.start();
  }

  async restart(options = this.#options): Promise<void> {
    this.#options = options;
    await this.files.close();
    await this.store.close();
    await this.start();
  }

  async close(): Promise<void> {
    this.deliveries.check();
    await this.files.close();
    await this.store.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Finds a path of plain names; 0 when it is not there. */
  ino(path: string): number {
    let ino = ROOT;
    for (const name of path.split("/")) {
      if (name !== "") ino = this.store.lookup(ino, Buffer.from(name).toString("latin1"));
    }
    return ino;
  }

  #place(path: string): [parent: number, name: string] {
    const slash = path.lastIndexOf("/");
    const name = Buffer.from(path.slice(slash + 1)).toString("latin1");
    return [slash === -1 ? ROOT : this.ino(path.slice(0, slash)), name];
  }

  directoryAt(path: string, mode = 0o755, owner: Caller = ROOT_CALLER): number {
    const [parent, name] = this.#place(path);
    return ok(this.files.makeDirectory(parent, name, mode, owner)).ino;
  }

  fileAt(path: string, text = "", mode = 0o600, owner: Caller = ROOT_CALLER): number {
    const [parent, name] = this.#place(path);
    const { ino } = ok(this.files.makeNode(parent, name, 0o100000 | mode, 0, owner));
    if (text !== "") this.append(ino, text);
    return ino;
  }

  append(ino: number, text: string): void {
    const bytes = Buffer.from(text);
    const unit = this.store.writeUnit([bytes]);
    const offset = this.store.inode(ino)?.size ?? 0;
    const extents = [{ unit, offset: 0, length: bytes.length }];
    this.store.commit([{ type: "splice", ino, offset, remove: 0, extents }]);
  }

  linkAt(path: string, target: string, owner: Caller = ROOT_CALLER): void {
    const [parent, name] = this.#place(path);
    ok(this.files.symlink(parent, name, Buffer.from(target), owner));
  }

  hardLinkAt(path: string, to: string): void {
    const [parent, name] = this.#place(path);
    ok(this.files.link(this.ino(to), parent, name));
  }

  unlink(path: string): void {
    const [parent, name] = this.#place(path);
    ok(this.files.unlink(parent, name));
  }

  rename(from: string, to: string): void {
    const [parent, name] = this.#place(from);
    const [newParent, newName] = this.#place(to);
    ok(this.files.rename(parent, name, newParent, newName, 0));
  }

  lock(
    ino: number,
    type: "read" | "write" | "unlock",
    pid = 99,
    flavor: "posix" | "flock" = "posix",
  ) {
    const owner = BigInt(pid);
    const range = { start: 0, end: Number.MAX_SAFE_INTEGER };
    ok(this.locks.setLock(ino, { owner, handle: pid, flavor, type, ...range, pid }));
  }

  text(path: string): string {
    const ino = this.ino(path);
    const size = this.store.inode(ino)?.size ?? 0;
    return ino === 0 ? "(none)" : this.store.read(ino, 0, size).toString();
  }

  session(caller: Caller = ROOT_CALLER): HintSession {
    return this.hints.open(caller);
  }

  /** One request through a session of its own. */
  async request(fields: object, body: string | Buffer = "", caller = ROOT_CALLER): Promise<Reply> {
    const session = this.session(caller);
    const reply = await exchange(session, fields, body, caller);
    session.close();
    return reply;
  }

  /** "shared" to each path, with `own[k]` before it. */
  deliver(
    shared: string,
    to: readonly (string | object)[],
    own: readonly string[] = [],
    caller = ROOT_CALLER,
  ): Promise<Reply> {
    return this.request(...delivery(shared, to, own), caller);
  }

  /** Everything in the store that a refused request must leave as it was. */
  picture(): unknown {
    const { logicalBytes, storedBytes, sharedBytes, units, files, pending } =
      this.store.statistics();
    const inodes: unknown[] = [];
    for (let ino = 1; ino < this.store.internals().state.counters.nextIno; ino++) {
      const inode = this.store.inode(ino);
      if (inode === undefined) continue;
      const { mode, uid, gid, nlink, size, mtimeSec, ctimeSec, entryCount } = inode;
      const bytes = isRegular(mode) ? this.store.read(ino, 0, size).toString("latin1") : "";
      const names = isDirectory(mode) ? entryCount : 0;
      inodes.push([ino, mode, uid, gid, nlink, size, mtimeSec, ctimeSec, names, bytes]);
    }
    return {
      counts: [logicalBytes, storedBytes, sharedBytes, units, files, pending],
      inodes,
      held: this.hints.held,
    };
  }
}

/** The fields and the body of a delivery. */
export function delivery(
  shared: string,
  to: readonly (string | object)[],
  own: readonly string[] = [],
): [object, string] {
  const targets = to.map((path, k) => ({
    ...(typeof path === "string" ? { path } : path),
    privateBytes: Buffer.byteLength(own[k] ?? ""),
  }));
  const pieces = shared === "" ? [] : [{ bytes: Buffer.byteLength(shared) }];
  return [{ op: "deliver", shared: pieces, to: targets }, shared + own.join("")];
}

export function encode(fields: object, body: string | Buffer = ""): Buffer {
  const bytes = Buffer.from(body as string);
  return Buffer.concat([
    Buffer.from(`${JSON.stringify({ bodyBytes: bytes.length, ...fields })}\n`),
    bytes,
  ]);
}

export async function exchange(
  session: HintSession,
  fields: object,
  body: string | Buffer = "",
  caller: Caller = session.opener,
): Promise<Reply> {
  const bytes = encode(fields, body);
  const written = session.write(bytes, caller);
  if (written !== bytes.length) throw new Error(`the session took ${written} of ${bytes.length}`);
  return readReply(session, caller);
}

export async function readReply(
  session: HintSession,
  caller: Caller = session.opener,
  lengthMax = 65_536,
): Promise<Reply> {
  let text = "";
  while (!text.endsWith("\n")) {
    const piece = await session.read(lengthMax, caller);
    if (typeof piece === "number") throw new Error(`read: ${errnoName(piece)}`);
    if (piece.length === 0) throw new Error("no reply");
    text += piece.toString();
  }
  return JSON.parse(text) as Reply;
}

/** The value of an operation that must succeed. */
export function ok<T>(result: T | number): T {
  if (isErrno(result)) throw new Error(`refused: ${errnoName(result)}`);
  return result;
}

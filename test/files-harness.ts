/** Operations over a real store in a temporary directory, without a mount. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isErrno, errnoName, type Errno } from "../base/errno.ts";
import type { Attributes, Time } from "../fs/attributes.ts";
import type { Caller } from "../fs/caller.ts";
import { Files } from "../fs/files/files.ts";
import type { SessionSource } from "../fs/files/sessions.ts";
import { LockTable } from "../fs/locks/table.ts";
import { checkStore } from "../fs/store/check.ts";
import { Store } from "../fs/store/store.ts";

export const ROOT = 1;
export const ROOT_CALLER: Caller = { uid: 0, gid: 0, pid: 1 };
export const ALICE: Caller = { uid: 1001, gid: 2001, pid: 10 };

export const RDWR = 2;
export const APPEND = 0o2001;

/** A clock that a test moves: each reading is a second later than the one before. */
export class StepClock {
  sec = 1_700_000_000;
  readonly now = (): Time => {
    this.sec += 1;
    return { sec: this.sec, nsec: 5 };
  };
}

const NO_HINTS: SessionSource = {
  open: () => {
    throw new Error("this test has no hints");
  },
};

export interface HarnessOptions {
  /** A store that is there; it is removed at the end. */
  readonly directory?: string;
  readonly hints?: SessionSource;
  readonly isKnown?: (ino: number) => boolean;
  readonly now?: () => Time;
  readonly hasPendingIn?: (directory: number) => boolean;
}

export class Harness {
  readonly directory: string;
  readonly clock = new StepClock();
  readonly #options: HarnessOptions;
  /** parent/name of every name that was reported as changed. */
  readonly changed: string[] = [];
  store!: Store;
  files!: Files;
  locks!: LockTable;

  private constructor(options: HarnessOptions) {
    this.#options = options;
    this.directory = options.directory ?? mkdtempSync(join(tmpdir(), "onespool-files-"));
  }

  static async open(options: HarnessOptions = {}): Promise<Harness> {
    const harness = new Harness(options);
    await harness.start(options.directory === undefined);
    return harness;
  }

  async start(create: boolean): Promise<void> {
    this.store = await Store.open(this.directory, { create });
    this.locks = new LockTable({ onUnlocked: () => undefined });
    this.files = new Files({
      store: this.store,
      locks: this.locks,
      hints: this.#options.hints ?? NO_HINTS,
      now: this.#options.now ?? this.clock.now,
      nameChanged: (parent, name) => this.changed.push(`${parent}/${name}`),
      hasPendingIn: this.#options.hasPendingIn ?? (() => false),
      settled: () => undefined,
      isKnown: this.#options.isKnown ?? (() => true),
    });
    this.files.orphans.dropLeftOver();
    await this.files.orphans.idle();
  }

  async reopen(): Promise<void> {
    await this.files.close();
    await this.store.close();
    await this.start(false);
  }

  /** Ends with a check of everything that the operations left in the store. */
  async close(): Promise<void> {
    await this.files.close();
    await this.store.close();
    const { problems } = await checkStore(this.directory);
    rmSync(this.directory, { recursive: true, force: true });
    if (problems.length > 0) throw new Error(`the store is left with: ${problems.join("; ")}`);
  }

  /** A new empty file of the root; its number. */
  make(name: string, parent = ROOT, caller = ROOT_CALLER): number {
    return ok(this.files.makeNode(parent, name, 0o100644, 0, caller)).ino;
  }

  makeDirectory(name: string, parent = ROOT, caller = ROOT_CALLER): number {
    return ok(this.files.makeDirectory(parent, name, 0o755, caller)).ino;
  }

  stat(ino: number): Attributes {
    return ok(this.files.getAttributes(ino));
  }

  /** Writes without waiting for anything; the result of the operation. */
  write(ino: number, offset: number, data: string | Buffer, flags = RDWR): number {
    const bytes = Buffer.from(data as string, "latin1");
    const request = { ino, handle: 0, offset, data: bytes, flags };
    const written = this.files.write(request, ROOT_CALLER);
    if (written instanceof Promise) throw new Error("the write waits");
    return ok(written).offset;
  }

  read(ino: number, offset = 0, length = 2 ** 30, handle = 0): Buffer {
    const read = this.files.read(ino, handle, offset, length, ROOT_CALLER);
    if (read instanceof Promise) throw new Error("the read waits");
    return Buffer.concat(ok(read));
  }

  text(ino: number): string {
    return this.read(ino).toString("latin1");
  }

  async names(ino = ROOT, countMax = 100): Promise<string[]> {
    const handle = ok(this.files.openDirectory(ino));
    const names: string[] = [];
    for (let cookie = 0; ;) {
      const entries = ok(await this.files.readDirectory(ino, handle, cookie, countMax));
      const last = entries.at(-1);
      if (last === undefined) break;
      for (const entry of entries) names.push(entry.name);
      cookie = last.cookie;
    }
    this.files.releaseDirectory(handle);
    return names.sort();
  }
}

/** The value of an operation that must succeed. */
export function ok<T>(result: T | Errno): T {
  if (isErrno(result)) throw new Error(`refused: ${errnoName(result)}`);
  return result;
}

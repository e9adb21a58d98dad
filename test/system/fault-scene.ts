/** A store over a disk that can be made to fail, and what it was told and has acknowledged. */
import type { Disk } from "../../fs/store/disk/disk.ts";
import { StoreError } from "../../fs/store/errors.ts";
import type { IndexKind } from "../../fs/store/index/store-index.ts";
import { Store } from "../../fs/store/store.ts";
import { FaultyDisk } from "./faulty-disk.ts";
import { SimulatedMachine } from "./simulated-machine.ts";

const SEGMENT_LENGTH = 4_096;

/** Mailboxes and what is in them. */
export type Model = Map<string, string>;

export const STORE = "/srv/store";

export class Scene {
  readonly machine = new SimulatedMachine();
  readonly disk = new FaultyDisk(this.machine.disk, (fd) => {
    const { disk, power } = this.machine;
    power.failAt({ call: "fdatasync", code: "EIO", count: 1 });
    try {
      disk.fdatasync(fd);
    } catch {}
    power.heal();
  });
  /** What the store was told and did not refuse. */
  model: Model = new Map();
  /** All that it was since the last time when it was acknowledged as durable. */
  sinceDurable: Model[] = [new Map()];
  refusals: string[] = [];
  store!: Store;

  async open(): Promise<void> {
    const { indexKind } = this.machine;
    this.store = await openStore(this.disk, indexKind);
  }

  /** Mail comes, mailboxes are made, cut and removed; some of it is asked to be durable. */
  async step(number: number): Promise<void> {
    const name = `m${number % 5}`;
    const text = this.model.get(name);
    if (text === undefined) {
      this.#change(
        () => this.#create(name),
        () => this.model.set(name, ""),
      );
    } else if (number % 11 === 0) {
      this.#change(
        () => this.#unlink(name),
        () => this.model.delete(name),
      );
    } else if (number % 7 === 0) {
      this.#change(
        () => this.#truncate(name, text.length),
        () => this.model.set(name, ""),
      );
    } else {
      const mail = `${String(number)} `.repeat(300);
      this.#change(
        () => this.#append(name, text.length, mail),
        () => this.model.set(name, text + mail),
      );
    }
    if (number % 6 === 0) {
      // Several wait, so that it happens in another thread, and mail comes meanwhile.
      const waiting = [this.sync(), this.sync(), this.sync()];
      const [other] = this.model.keys();
      if (other !== undefined) {
        const text = this.model.get(other) as string;
        this.#change(
          () => this.#append(other, text.length, "more\n"),
          () => this.model.set(other, `${text}more\n`),
        );
      }
      await Promise.all(waiting);
    } else if (number % 3 === 0) await this.sync();
    if (number % 10 === 9) await this.store.checkpoint().catch(() => {});
    if (number % 12 === 11) {
      const given = this.store.reclaim();
      await given.catch((error: unknown) => this.#refused(error));
    }
  }

  async sync(): Promise<boolean> {
    const before = this.sinceDurable.at(-1) as Model;
    try {
      await this.store.durable();
    } catch (error) {
      this.#refused(error);
      return false;
    }
    // Somebody who came later may have been told before.
    this.sinceDurable.splice(0, Math.max(0, this.sinceDurable.indexOf(before)));
    return true;
  }

  /** Waits until a change is taken and durable. */
  async back(): Promise<void> {
    for (let k = 0; k < 400; k++) {
      const taken = this.#change(
        () => this.#create(`back${k}`),
        () => {},
      );
      if (taken && (await this.sync())) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`the store does not come back: ${this.refusals.at(-1)}`);
  }

  #change(make: () => void, follow: () => void): boolean {
    try {
      make();
    } catch (error) {
      this.#refused(error);
      return false;
    }
    follow();
    this.sinceDurable.push(new Map(this.model));
    return true;
  }

  #refused(error: unknown): void {
    if (!(error instanceof StoreError)) throw error;
    this.refusals.push(error.message);
  }

  #create(name: string): void {
    const { store } = this;
    const ino = store.newIno();
    const time = { sec: 1, nsec: 0 };
    const times = { atime: time, mtime: time, ctime: time };
    const none = { uid: 0, gid: 0, rdev: 0, parent: 0, target: Buffer.alloc(0) };
    store.commit([
      { type: "inode", ino, mode: 0o100600, nlink: 1, ...none, ...times },
      { type: "name", parent: 1, name, ino, fileType: 0o100000 },
    ]);
  }

  #append(name: string, size: number, text: string): void {
    const { store } = this;
    const ino = store.lookup(1, name);
    const unit = store.writeUnit([Buffer.from(text)]);
    const extents = [{ unit, offset: 0, length: text.length }];
    store.commit([{ type: "splice", ino, offset: size, remove: 0, extents }]);
  }

  #truncate(name: string, size: number): void {
    const ino = this.store.lookup(1, name);
    this.store.commit([
      { type: "splice", ino, offset: 0, remove: size, extents: [] },
      { type: "attributes", ino, mtime: { sec: 2, nsec: 0 } },
    ]);
  }

  #unlink(name: string): void {
    const ino = this.store.lookup(1, name);
    this.store.commit([
      { type: "unname", parent: 1, name },
      { type: "dropInode", ino },
    ]);
  }
}

export function openStore(disk: Disk, indexKind: IndexKind): Promise<Store> {
  return Store.open(STORE, { create: true, disk, indexKind, segmentLength: SEGMENT_LENGTH });
}

export function contents(store: Store): Model {
  const found: Model = new Map();
  for (let k = 0; k < 5; k++) {
    const ino = store.lookup(1, `m${k}`);
    if (ino !== 0) found.set(`m${k}`, store.read(ino, 0, Infinity).toString());
  }
  return found;
}

export function expectOne(found: Model, allowed: readonly Model[], what: string): void {
  const line = (model: Model): string =>
    [...model]
      .map(([name, text]) => `${name}:${text.length}`)
      .sort()
      .join();
  const isOne = allowed.some(
    (model) =>
      model.size === found.size && [...model].every(([name, text]) => found.get(name) === text),
  );
  if (!isOne)
    throw new Error(`${what}: ${line(found)} instead of ${allowed.map(line).join(" or ")}`);
}

/**
 * Every call that a store makes of its disk fails, each in its turn, once and for a while, with EIO and with ENOSPC.
 * What was acknowledged is there afterwards, what was refused is not, and the store goes on by itself. At the end of
 * the faults the power goes as well, or the process is killed: what was durable is there then, and what was answered.
 */
import t from "tap";
import { checkStore } from "../fs/store/check.ts";
import type { Disk } from "../fs/store/disk.ts";
import { StoreError } from "../fs/store/errors.ts";
import type { IndexKind } from "../fs/store/store-index.ts";
import { Store } from "../fs/store/store.ts";
import { FaultyDisk } from "./system/faulty-disk.ts";
import type { FaultyCall } from "./system/faulty-disk.ts";
import { SimulatedMachine, type CutChoice } from "./system/simulated-machine.ts";

const SEGMENT_LENGTH = 4_096;
const STEPS = 24;
const long = process.env["ONESPOOL_LONG"] === "1";

t.setTimeout(240_000);

/** Mailboxes and what is in them. */
type Model = Map<string, string>;

const STORE = "/srv/store";

class Scene {
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

function openStore(disk: Disk, indexKind: IndexKind): Promise<Store> {
  return Store.open(STORE, { create: true, disk, indexKind, segmentLength: SEGMENT_LENGTH });
}

function contents(store: Store): Model {
  const found: Model = new Map();
  for (let k = 0; k < 5; k++) {
    const ino = store.lookup(1, `m${k}`);
    if (ino !== 0) found.set(`m${k}`, store.read(ino, 0, Infinity).toString());
  }
  return found;
}

interface Trial {
  /** The call that fails, counted from the end of the opening. */
  readonly from: number;
  readonly count: number;
  readonly code: string;
}

/** Returns the name of the call that failed first; undefined when the workload has fewer calls. */
async function attempt({ from, count, code }: Trial): Promise<FaultyCall | undefined> {
  const scene = new Scene();
  const { disk, machine } = scene;
  try {
    await scene.open();
    const start = disk.calls;
    let first: FaultyCall | undefined;
    disk.fault = (call, _, number) => {
      const at = number - start;
      if (at < from || at >= from + count) return undefined;
      first ??= call;
      return code;
    };
    for (let number = 0; number < STEPS; number++) {
      await scene.step(number);
      if (first !== undefined && number % 5 === 0) await restarts(scene);
    }
    if (first === undefined) return undefined;
    await restarts(scene);
    disk.fault = () => undefined;
    await scene.back();
    expectOne(contents(scene.store), [scene.model], "what was not refused is there");
    await restarts(scene);
    await scene.store.close();
    const { problems } = await checkStore(STORE, {
      disk: machine.disk,
      indexKind: machine.indexKind,
      rebuildIndex: true,
    });
    if (problems.length > 0) throw new Error(JSON.stringify(problems));
    await scene.open();
    expectOne(contents(scene.store), [scene.model], "and after a restart");
    await scene.store.close();
    if (disk.violations.length > 0) throw new Error(disk.violations.join("\n"));
    return first;
  } catch (error) {
    const how = `calls ${from} to ${from + count - 1} fail with ${code}`;
    throw new Error(`${how}: ${(error as Error).stack}`, { cause: error });
  }
}

/** What a start would find if the power went now, or the process were killed. */
async function restarts({ machine, model, sinceDurable }: Scene): Promise<void> {
  const choices: readonly CutChoice[] = ["killed", "dropped", "kept", "reordered"];
  for (const choice of choices) {
    const allowed = choice === "killed" ? [model] : sinceDurable;
    const next = machine.restarted(choice);
    const store = await openStore(new FaultyDisk(next.disk), next.indexKind);
    const found = contents(store);
    expectOne(found, allowed, String(choice));
    // What that start found it says to be durable.
    await store.durable();
    const last = next.restarted("dropped");
    const again = await openStore(last.disk, last.indexKind);
    expectOne(contents(again), [found], `${choice}, and the power went after the start`);
    await again.close();
    await store.close();
  }
}

function expectOne(found: Model, allowed: readonly Model[], what: string): void {
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

async function calls(): Promise<number> {
  const scene = new Scene();
  await scene.open();
  const start = scene.disk.calls;
  for (let number = 0; number < STEPS; number++) await scene.step(number);
  const count = scene.disk.calls - start;
  await scene.store.close();
  return count;
}

for (const code of ["EIO", "ENOSPC"]) {
  t.test(`each single call of the disk fails once with ${code}`, async (t) => {
    const count = await calls();
    const failed = new Map<FaultyCall, number>();
    for (let from = 1; from <= count; from++) {
      const call = await attempt({ from, count: 1, code });
      if (call !== undefined) failed.set(call, (failed.get(call) ?? 0) + 1);
    }
    t.comment(`${count} calls: ${[...failed].map((entry) => entry.join(" ")).join(", ")}`);
    for (const call of ["open", "write", "truncate", "sync", "syncDirectory", "rename"] as const) {
      t.ok((failed.get(call) ?? 0) > 0, `${call} failed`);
    }
  });

  t.test(`all calls fail with ${code} for a while, from each call on`, async (t) => {
    const count = await calls();
    let trials = 0;
    const pace = long ? 1 : 5;
    for (let from = 1; from <= count; from += pace) {
      for (const length of [3, 17]) {
        if ((await attempt({ from, count: length, code })) !== undefined) trials++;
      }
    }
    t.ok(trials > 0, `${trials} trials`);
  });
}

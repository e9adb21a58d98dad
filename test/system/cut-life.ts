/**
 * A store on a simulated machine, and beside it the states that it went through: what a crash may leave.
 * Not here: where it is cut, and what is looked at afterwards (power-cuts.ts).
 */
import { S_IFMT, type Time } from "../../fs/attributes.ts";
import type { Change } from "../../fs/store/records/change.ts";
import { checkStore, type CheckReport } from "../../fs/store/check.ts";
import { ROOT_INO } from "../../fs/store/state/counters.ts";
import type { StoreOptions } from "../../fs/store/opening.ts";
import { Store } from "../../fs/store/store.ts";
import { NaiveStore } from "./naive-store.ts";
import type { SimulatedMachine } from "./simulated-machine.ts";

export const STORE = "/srv/spool/store";
export const NOW: Time = { sec: 1_700_000_000, nsec: 5 };

export type LifeOptions = Omit<StoreOptions, "disk" | "indexKind" | "now">;

/** States of a store in their order, as text; a commit is what leads from one to the next. */
export class History {
  readonly states: string[];
  /** The last state of which somebody was told that it is durable. */
  durable = 0;
  /** The last state of which somebody was told at all. */
  answered = 0;

  constructor(states: readonly string[]) {
    this.states = [...states];
  }

  /** What a crash may leave; `killed`: only the process ended. */
  allowed(killed: boolean): readonly string[] {
    return this.states.slice(killed ? this.answered : this.durable);
  }
}

export class Life {
  readonly machine: SimulatedMachine;
  readonly model: NaiveStore;
  readonly history: History;
  readonly #options: LifeOptions;
  store!: Store;
  /** Called after each commit. */
  followed: (() => void) | undefined;

  /** A new store. */
  constructor(machine: SimulatedMachine, options: LifeOptions = {}) {
    this.machine = machine;
    this.#options = options;
    this.model = emptyStore();
    this.history = new History([this.model.picture()]);
  }

  async open(options: LifeOptions = {}): Promise<Store> {
    const { disk, indexKind } = this.machine;
    const all = { create: true, ...this.#options, ...options, now: () => NOW, disk, indexKind };
    this.store = await Store.open(STORE, all);
    this.#record(this.store);
    return this.store;
  }

  async reopen(options: LifeOptions = {}): Promise<void> {
    await this.store.close();
    await this.open(options);
  }

  /** The process ends, after an end of the machine. */
  async abandon(): Promise<void> {
    this.machine.power.cut();
    await this.store?.close().catch(() => undefined);
  }

  /** Every commit of the store leads to a new state, whoever makes it. */
  #record(store: Store): void {
    const { history, model } = this;
    const writeUnit = store.writeUnit.bind(store);
    const commit = store.commit.bind(store);
    const durable = store.durable.bind(store);
    const close = store.close.bind(store);
    /** A machine that is off tells nobody anything. */
    const told = (state: number): void => {
      if (!this.machine.power.off) history.durable = Math.max(history.durable, state);
    };
    store.writeUnit = (parts, chunkLengths) => {
      const id = writeUnit(parts, chunkLengths);
      model.units.set(id, Buffer.concat(parts));
      return id;
    };
    store.commit = (changes, claim) => {
      const follow = (): void => {
        for (const change of changes) model.apply(withoutRows(change));
        history.states.push(model.picture());
        this.followed?.();
      };
      try {
        commit(changes, claim);
      } catch (error) {
        if (this.machine.power.off) follow();
        throw error;
      }
      follow();
      history.answered = history.states.length - 1;
    };
    store.durable = async () => {
      const state = history.states.length - 1;
      await durable();
      told(state);
    };
    store.close = async () => {
      const state = history.states.length - 1;
      await close();
      told(state);
    };
  }
}

/** What a store holds that was just made. */
function emptyStore(): NaiveStore {
  const model = new NaiveStore();
  model.apply({
    type: "inode",
    ino: 1,
    mode: 0o40755,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    nlink: 2,
    rdev: 0,
    atime: NOW,
    mtime: NOW,
    ctime: NOW,
    parent: 1,
    target: Buffer.alloc(0),
  });
  return model;
}

/** A target's row is a help for the caller, and not in the record. */
function withoutRows(change: Change): Change {
  if (change.type !== "deliver") return change;
  return {
    ...change,
    targets: change.targets.map(({ ino, private: own }) => ({ ino, private: own })),
  };
}

/** The store as a restart finds it; nobody notes what it does. */
export function openAgain(
  { disk, indexKind }: SimulatedMachine,
  options: LifeOptions = {},
): Promise<Store> {
  return Store.open(STORE, { create: true, ...options, now: () => NOW, disk, indexKind });
}

export function newFile(ino: number, name: string, mode = 0o100600, parent = ROOT_INO): Change[] {
  const attributes = { uid: 1, gid: 2, nlink: 1, rdev: 0, parent: 0, target: Buffer.alloc(0) };
  const times = { atime: NOW, mtime: NOW, ctime: NOW };
  return [
    { type: "inode", ino, mode, ...attributes, ...times },
    { type: "name", parent, name, ino, fileType: mode & S_IFMT },
  ];
}

export function fsck(machine: SimulatedMachine, rebuildIndex: boolean): Promise<CheckReport> {
  const { disk, indexKind } = machine;
  return checkStore(STORE, { disk, indexKind, rebuildIndex });
}

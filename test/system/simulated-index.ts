/**
 * An index in memory for the store, with what LevelDB promises: after a power cut it has the state of the last
 * batch that was written, or of the one that was being written.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { StoreError } from "../../fs/store/errors.ts";
import { META_KEY } from "../../fs/store/index/keys.ts";
import type {
  IndexBatch,
  IndexKind,
  IndexRows,
  KeyRange,
  StoreIndex,
} from "../../fs/store/index/store-index.ts";
import { storageError } from "../../fs/store/log/segment-files.ts";
import { type SimulatedPower, systemError } from "./simulated-power.ts";

/** Rows by key, in latin1: the order of its code units is that of the bytes. */
type Rows = ReadonlyMap<string, Buffer>;

/** What a removal that was cut leaves. */
export type RemovalFate = "nothing" | "everything" | "damage";

export class SimulatedIndexKind implements IndexKind {
  readonly #power: SimulatedPower;
  /** What is on stable storage. */
  #rows: Rows;
  #damaged = false;
  #writing: Rows | undefined;
  #removing = false;

  constructor(power: SimulatedPower, rows: Rows = new Map(), damaged = false) {
    this.#power = power;
    this.#rows = rows;
    this.#damaged = damaged;
  }

  /** As a start finds it. `whole`: whether a batch that was being written is there. */
  afterCut(power: SimulatedPower, whole: boolean, removal: RemovalFate): SimulatedIndexKind {
    if (this.#removing && removal !== "everything") {
      return new SimulatedIndexKind(power, new Map(), removal === "damage");
    }
    const rows = whole ? (this.#writing ?? this.#rows) : this.#rows;
    return new SimulatedIndexKind(power, rows, this.#damaged);
  }

  get rows(): Rows {
    return this.#rows;
  }

  async open(): Promise<StoreIndex> {
    await nextTurn();
    live(this.#power);
    if (this.#damaged) throw new StoreError("INDEX_DAMAGED", "cannot open the index: simulated");
    return new SimulatedIndex(this.#power, this);
  }

  remove(store: string): void {
    this.#power.point("index remove", store, () => {
      this.#removing = true;
    });
    this.#removing = false;
    this.#damaged = false;
    this.#rows = new Map();
  }

  async write(changes: ReadonlyMap<string, Buffer | undefined>): Promise<void> {
    const rows = new Map(this.#rows);
    for (const [key, value] of changes) {
      if (value === undefined) rows.delete(key);
      else rows.set(key, value);
    }
    this.#writing = rows;
    await nextTurn();
    try {
      this.#power.point("index write", "");
    } catch (error) {
      if (!this.#power.off) this.#writing = undefined;
      throw storageError("cannot write the index", error);
    }
    this.#rows = rows;
    this.#writing = undefined;
  }
}

class SimulatedIndex implements StoreIndex {
  readonly #power: SimulatedPower;
  readonly #kind: SimulatedIndexKind;
  #open = true;

  constructor(power: SimulatedPower, kind: SimulatedIndexKind) {
    this.#power = power;
    this.#kind = kind;
  }

  get(key: Buffer): Buffer | undefined {
    this.#use();
    return this.#kind.rows.get(key.toString("latin1"));
  }

  meta(): Buffer | undefined {
    return this.get(META_KEY);
  }

  batch(): IndexBatch {
    const changes = new Map<string, Buffer | undefined>();
    return {
      put: (key, value) => changes.set(key.toString("latin1"), Buffer.from(value)),
      del: (key) => changes.set(key.toString("latin1"), undefined),
      write: async () => {
        this.#use();
        await this.#kind.write(changes);
      },
    };
  }

  rows({ gte, lt }: KeyRange): IndexRows {
    this.#use();
    const [from, to] = [gte.toString("latin1"), lt.toString("latin1")];
    const found: [Buffer, Buffer][] = [];
    for (const [key, value] of this.#kind.rows) {
      if (key >= from && key < to) found.push([Buffer.from(key, "latin1"), value]);
    }
    found.sort(([a], [b]) => a.compare(b));
    return {
      next: async (countMax) => {
        await nextTurn();
        this.#use();
        return found.splice(0, countMax);
      },
      close: () => Promise.resolve(),
    };
  }

  async each(range: KeyRange, visit: (key: Buffer, value: Buffer) => void): Promise<void> {
    const rows = this.rows(range);
    for (const [key, value] of await rows.next(Infinity)) visit(key, value);
  }

  close(): Promise<void> {
    this.#open = false;
    return Promise.resolve();
  }

  #use(): void {
    live(this.#power);
    if (!this.#open) throw systemError("EBADF", "use of the index", "");
  }
}

/** Also what an index says of a machine that is off is a StoreError. */
function live(power: SimulatedPower): void {
  try {
    power.live();
  } catch (error) {
    throw storageError("cannot use the index", error);
  }
}

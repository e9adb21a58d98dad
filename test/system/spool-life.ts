/**
 * A whole spool on a simulated machine, one step of programs after the other, and what of it each step leaves to be
 * seen. Beside it are the states of its store, commit by commit.
 *
 * A step is what one call of a program does, and whole or not there after a crash, unless it says otherwise.
 */
import { Spool, type SpoolOptions } from "../../fs/spool.ts";
import { Store } from "../../fs/store/store.ts";
import { StepClock } from "../files-harness.ts";
import { Life, NOW, STORE, type LifeOptions } from "./cut-life.ts";
import type { CutLife } from "./power-cuts.ts";
import type { SimulatedMachine } from "./simulated-machine.ts";
import { PowerCut } from "./simulated-power.ts";
import { readBack, seenIn } from "./spool-picture.ts";
import type { Stepper, StepKind } from "./spool-scene.ts";

export class SpoolLife implements CutLife, Stepper {
  readonly machine: SimulatedMachine;
  readonly life: Life;
  readonly #options: LifeOptions;
  readonly #clock = new StepClock();
  /** What can be seen after each step; of one that is done in parts, after each of them. */
  readonly seen: string[][] = [];
  /** Steps that were begun; the last one that was answered; the last one that is told to be durable. */
  begun = 0;
  answered = 0;
  durable = 0;
  spool!: Spool;

  constructor(machine: SimulatedMachine, options: LifeOptions = {}) {
    this.machine = machine;
    this.#options = options;
    this.life = new Life(machine, options);
    this.seen.push([seenIn(this.life.model)]);
  }

  get store(): Store {
    return this.spool.store;
  }

  async open(): Promise<void> {
    this.spool = await Spool.open(STORE, {
      ...spoolOptions(this.#clock, this.#options),
      openStore: (_directory, options) => this.life.open({ ...options, ...this.#options }),
    });
  }

  /** The spool ends and starts; what was done is durable then. */
  async reopen(): Promise<void> {
    await this.step(() => this.spool.close(), { durable: true });
    await this.open();
  }

  async step<T>(call: () => T | Promise<T>, { durable, inParts }: StepKind = {}): Promise<T> {
    const { life, seen } = this;
    this.begun++;
    const parts: string[] = [];
    if (inParts === true) life.followed = () => parts.push(seenIn(life.model));
    try {
      const result = await call();
      this.#live();
      if (durable === true) this.durable = this.begun;
      return result;
    } finally {
      life.followed = undefined;
      if (!this.machine.power.off) {
        // Also one that was refused: it has changed nothing.
        seen.push([...parts, seenIn(life.model)]);
        this.answered = this.begun;
      }
    }
  }

  /** Whether what the operations show is what the commits say. */
  async agrees(): Promise<boolean> {
    return seenIn(await readBack(this.spool)) === this.seen.at(-1)?.at(-1);
  }

  /** What a crash may leave, where `whole` is the same life without one. */
  allowed(whole: SpoolLife, killed: boolean): readonly string[] {
    const first = killed ? this.answered : this.durable;
    const [last, ...later] = whole.seen.slice(first, this.begun + 1);
    return [...(last ?? []).slice(-1), ...later.flat()];
  }

  async abandon(): Promise<void> {
    this.machine.power.cut();
    await this.spool?.close().catch(() => undefined);
    await this.life.abandon();
  }

  /** A machine that is off answers nobody, whatever its program found. */
  #live(): void {
    if (this.machine.power.off) throw new PowerCut("the power went during a step");
  }
}

/** The same spool without a memory. */
export function openSpool(
  { disk, indexKind }: SimulatedMachine,
  options: LifeOptions,
): Promise<Spool> {
  return Spool.open(STORE, {
    ...spoolOptions(new StepClock(), options),
    openStore: (directory, given) =>
      Store.open(directory, { ...given, ...options, now: () => NOW, disk, indexKind }),
  });
}

function spoolOptions(clock: StepClock, { reclaim = false }: LifeOptions): SpoolOptions {
  return { create: true, now: clock.now, reclaim };
}

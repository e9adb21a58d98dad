/**
 * Cuts the power under a workload at every point, and looks at what is left: it opens, its state is one
 * that the promises allow, it can be gone on with, `fsck` is clean, and the index made anew from the log says the same.
 * The start after a cut is then cut itself, at every point.
 * Not here: what is cut (store-cuts.ts: a store; spool-cuts.ts: a whole spool).
 */
import { fsck, type LifeOptions, openAgain } from "./cut-life.ts";
import { type CutChoice, SimulatedMachine } from "./simulated-machine.ts";

/** What a workload has done until the power went. */
export interface CutLife {
  readonly machine: SimulatedMachine;
  /** The process ends, after an end of the machine. */
  abandon(): Promise<void>;
}

export type Stage = "opening" | "open" | "durable";

/** What lives on a machine. States are text. */
export interface CutSubject<L extends CutLife> {
  readonly name: string;
  readonly options?: LifeOptions;
  /** Whether the store is there before the first point. */
  readonly isMade?: boolean;
  begin(machine: SimulatedMachine): L;
  /** From the first call to the last one. */
  run(life: L): Promise<void>;
  /** What a crash may leave of a life that was cut, where one that was not cut is `whole`; `killed`: only the process ended. */
  allowed(life: L, whole: L, killed: boolean): readonly string[];
  /** What else is to be true of a machine as it is found. Throws. */
  inspect?(machine: SimulatedMachine, life: L, killed: boolean): Promise<void>;
  /**
   * A start, and further changes, the last one durable. Returns the states, the first one as it was found. The
   * power goes at the end.
   */
  goOn(machine: SimulatedMachine, told: (stage: Stage) => void): Promise<readonly string[]>;
  /** A start, the state that it finds, and an end. */
  look(machine: SimulatedMachine): Promise<string>;
}

export interface CutPlan {
  /** The points at which the power goes, out of so many; default: all of them. */
  readonly points?: (count: number) => readonly number[];
  /** What is tried at a point. */
  readonly choices: (point: number) => readonly CutChoice[];
  /** The choices of which the start afterwards is cut as well, at every point. */
  readonly again?: (point: number) => readonly CutChoice[];
  /** Whether the index is made anew after each cut; default: after every other one. */
  readonly rebuilds?: boolean;
}

export interface CutResult {
  readonly points: number;
  readonly cuts: number;
  /** Cuts during the start after a cut. */
  readonly cutsAgain: number;
}

/** `CUT=name@point/choice` tries that one only. */
const only = process.env["CUT"];

export async function cutSubject<L extends CutLife>(
  subject: CutSubject<L>,
  plan: CutPlan,
): Promise<CutResult> {
  const { name, options = {} } = subject;
  const base = new SimulatedMachine();
  if (subject.isMade !== false) await (await openAgain(base, options)).close();
  const whole = subject.begin(base.restarted("kept"));
  if (!(await lives(subject, whole))) throw new Error("the power went");
  // One more: a cut behind the last call.
  const count = whole.machine.power.points + 1;
  const result = { points: count, cuts: 0, cutsAgain: 0 };
  for (const point of plan.points?.(count) ?? Array.from({ length: count }, (_, k) => k + 1)) {
    const place = `${name}@${point}/`;
    if (only?.startsWith(place) === false) continue;
    const machine = base.restarted("kept", point);
    const life = subject.begin(machine);
    await lives(subject, life);
    for (const choice of plan.choices(point)) {
      if (only !== undefined && only !== `${place}${choice}`) continue;
      const killed = choice === "killed";
      const allowed = subject.allowed(life, whole, killed);
      const rebuilds = plan.rebuilds ?? point % 2 === 0;
      await explained(`${place}${choice}`, machine, async () => {
        await subject.inspect?.(machine.restarted(choice), life, killed);
        await survives(subject, machine.restarted(choice), allowed, rebuilds);
      });
      result.cuts++;
    }
    for (const choice of plan.again?.(point) ?? []) {
      if (only?.startsWith(`${place}${choice}>`) === false) continue;
      result.cutsAgain += await cutsTheStart(`${place}${choice}`, subject, {
        restart: (cutAt) => machine.restarted(choice, cutAt),
        found: choice === "killed" ? subject.allowed(life, whole, false) : undefined,
      });
    }
  }
  return result;
}

/** Whether the workload came to its end before the power went, which it then does there. */
async function lives<L extends CutLife>(subject: CutSubject<L>, life: L): Promise<boolean> {
  const { power } = life.machine;
  try {
    await subject.run(life);
    if (!power.off) {
      await life.abandon();
      return true;
    }
  } catch (error) {
    if (!power.off) throw error;
  }
  await life.abandon();
  return false;
}

interface CutStart {
  /** The machine once more as it was found. */
  readonly restart: (cutAt: number) => SimulatedMachine;
  /** What it may have been, if that is not on stable storage; otherwise it is what a start finds. */
  readonly found: readonly string[] | undefined;
}

/** The start after a cut is cut at every point of its own, and what follows it. */
async function cutsTheStart<L extends CutLife>(
  name: string,
  subject: CutSubject<L>,
  { restart, found }: CutStart,
): Promise<number> {
  const states = await subject.goOn(restart(Infinity), () => undefined);
  const allowed = {
    opening: found ?? states.slice(0, 1),
    open: [...states],
    durable: states.slice(-1),
  };
  let cuts = 0;
  for (let point = 1; ; point++) {
    const machine = restart(point);
    let stage: Stage = "opening";
    const ended = await subject
      .goOn(machine, (now) => (stage = now))
      .then(
        () => true,
        (error: unknown) => {
          if (!machine.power.off) throw error;
          return false;
        },
      );
    machine.power.cut();
    for (const choice of ["dropped", "reordered", point * 7919] as const) {
      const full = `${name}>${point}/${choice}`;
      if (only !== undefined && only !== full) continue;
      const after = machine.restarted(choice);
      await explained(full, machine, () => survives(subject, after, allowed[stage], true));
      cuts++;
    }
    if (ended) return cuts;
  }
}

async function explained(
  name: string,
  { power }: SimulatedMachine,
  look: () => Promise<void>,
): Promise<void> {
  try {
    await look();
  } catch (error) {
    const { message } = error as Error;
    const where = `cut at ${power.lastCall}: ${message}\nCUT=${name} repeats it`;
    throw new Error(where, { cause: error });
  }
}

async function survives<L extends CutLife>(
  subject: CutSubject<L>,
  machine: SimulatedMachine,
  allowed: readonly string[],
  rebuilds: boolean,
): Promise<void> {
  // What the power cut left is no damage, also to an fsck that sees it first.
  if (!rebuilds && subject.isMade !== false) await clean(machine.restarted("killed"), false);
  const states = await subject.goOn(machine, () => undefined);
  expectOne(states[0] as string, allowed);
  const next = machine.restarted("dropped");
  await clean(next, false);
  if (rebuilds) await clean(next, true);
  const left = await subject.look(next);
  expectOne(left, states.slice(-1), "at the next start: ");
}

async function clean(machine: SimulatedMachine, rebuildIndex: boolean): Promise<void> {
  const { problems } = await fsck(machine, rebuildIndex);
  if (problems.length > 0) throw new Error(`fsck: ${problems.join("\n")}`);
}

/** Throws how what was found differs from the nearest of what is allowed. */
export function expectOne(found: string, allowed: readonly string[], when = ""): void {
  if (allowed.includes(found)) return;
  let best: string[] | undefined;
  const lines = new Set(found.split("\n"));
  for (const state of allowed) {
    const wanted = state.split("\n");
    const missing = wanted.filter((line) => !lines.has(line)).map((line) => `- ${line}`);
    const surplus = [...lines].filter((line) => !wanted.includes(line)).map((line) => `+ ${line}`);
    if (best === undefined || missing.length + surplus.length < best.length) {
      best = [...missing, ...surplus];
    }
  }
  const nearest = (best ?? []).join("\n");
  throw new Error(`${when}none of ${allowed.length} allowed states; nearest:\n${nearest}`);
}

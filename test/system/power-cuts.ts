/**
 * Cuts the power under a workload at every point, and looks at what is left: the store opens, its state is one
 * that the promises allow, it can be gone on with, `fsck` is clean, and the index made anew from the log says the same.
 * The start after a cut is then cut itself, at every point.
 */
import { fsck, type History, Life, type LifeOptions, newFile, openAgain } from "./cut-life.ts";
import { pictureOf } from "./naive-store.ts";
import { type CutChoice, SimulatedMachine } from "./simulated-machine.ts";

export interface Workload {
  readonly name: string;
  readonly options?: LifeOptions;
  /** Whether the store is there before the first point. */
  readonly isMade?: boolean;
  run(life: Life): Promise<void>;
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

export async function cutEverywhere(workload: Workload, plan: CutPlan): Promise<CutResult> {
  const { name, options = {} } = workload;
  const base = new SimulatedMachine();
  if (workload.isMade !== false) await (await openAgain(base, options)).close();
  const whole = base.restarted("kept");
  if (!(await lives(new Life(whole, options), workload))) throw new Error("the power went");
  // One more: a cut behind the last call.
  const count = whole.power.points + 1;
  const result = { points: count, cuts: 0, cutsAgain: 0 };
  for (const point of plan.points?.(count) ?? Array.from({ length: count }, (_, k) => k + 1)) {
    const place = `${name}@${point}/`;
    if (only?.startsWith(place) === false) continue;
    const machine = base.restarted("kept", point);
    const life = new Life(machine, options);
    await lives(life, workload);
    for (const choice of plan.choices(point)) {
      if (only !== undefined && only !== `${place}${choice}`) continue;
      const allowed = life.history.allowed(choice === "killed");
      const after = { machine: machine.restarted(choice), options };
      const rebuilds = plan.rebuilds ?? point % 2 === 0;
      await explained(`${place}${choice}`, machine, () => survives(after, allowed, rebuilds));
      result.cuts++;
    }
    for (const choice of plan.again?.(point) ?? []) {
      if (only?.startsWith(`${place}${choice}>`) === false) continue;
      result.cutsAgain += await cutsTheStart(`${place}${choice}`, {
        options,
        restart: (cutAt) => machine.restarted(choice, cutAt),
        found: life.history,
        isDurable: choice !== "killed",
      });
    }
  }
  return result;
}

/** Whether the workload came to its end before the power went, which it then does there. */
async function lives(life: Life, workload: Workload): Promise<boolean> {
  const { power } = life.machine;
  try {
    await life.open();
    await workload.run(life);
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
  readonly options: LifeOptions;
  /** The machine once more as it was found. */
  readonly restart: (cutAt: number) => SimulatedMachine;
  readonly found: History;
  /** Whether what was found is on stable storage. */
  readonly isDurable: boolean;
}

/** The start after a cut is cut at every point of its own, and what follows it. */
async function cutsTheStart(name: string, start: CutStart): Promise<number> {
  const { options, restart, found: history, isDurable } = start;
  const { found, probed } = await goOn({ machine: restart(Infinity), options });
  const first = isDurable ? [found] : history.allowed(false);
  const allowed = { opening: first, open: [found, probed], durable: [probed] };
  let cuts = 0;
  for (let point = 1; ; point++) {
    const machine = restart(point);
    let stage: Stage = "opening";
    const ended = await goOn({ machine, options }, (now) => (stage = now)).then(
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
      const after = { machine: machine.restarted(choice), options };
      await explained(full, machine, () => survives(after, allowed[stage], true));
      cuts++;
    }
    if (ended) return cuts;
  }
}

/** A machine after a cut, and how its store is opened. */
interface After {
  readonly machine: SimulatedMachine;
  readonly options: LifeOptions;
}

type Stage = "opening" | "open" | "durable";

/** A start, what it finds, and a further change. The store is left open: the next thing is a cut. */
async function goOn(
  { machine, options }: After,
  told: (stage: Stage) => void = () => undefined,
): Promise<{ found: string; probed: string }> {
  const store = await openAgain(machine, options);
  try {
    told("open");
    const found = await pictureOf(store);
    const ino = store.newIno();
    const unit = store.writeUnit([Buffer.from("after the cut")]);
    const extents = [{ unit, offset: 0, length: 13 }];
    store.commit([
      ...newFile(ino, `probe-${ino}`),
      { type: "splice", ino, offset: 0, remove: 0, extents },
    ]);
    await store.durable();
    told("durable");
    return { found, probed: await pictureOf(store) };
  } finally {
    machine.power.cut();
    await store.close().catch(() => undefined);
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

async function survives(
  { machine, options }: After,
  allowed: readonly string[],
  rebuilds: boolean,
): Promise<void> {
  const { found, probed } = await goOn({ machine, options });
  if (!allowed.includes(found)) throw new Error(difference(found, allowed));
  const next = machine.restarted("dropped");
  await clean(next, false);
  if (rebuilds) await clean(next, true);
  const again = await openAgain(next, options);
  const left = await pictureOf(again);
  await again.close();
  if (left !== probed) throw new Error(`at the next start: ${difference(left, [probed])}`);
}

async function clean(machine: SimulatedMachine, rebuildIndex: boolean): Promise<void> {
  const { problems } = await fsck(machine, rebuildIndex);
  if (problems.length > 0) throw new Error(`fsck: ${problems.join("\n")}`);
}

/** How what was found differs from the nearest of what is allowed. */
function difference(found: string, allowed: readonly string[]): string {
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
  return `none of ${allowed.length} allowed states; nearest:\n${(best ?? []).join("\n")}`;
}

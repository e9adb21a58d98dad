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
  /** The points at which the power goes; default: all. */
  readonly points?: (point: number) => boolean;
  /** What is tried at a point. */
  readonly choices: (point: number) => readonly CutChoice[];
  /** The choices of which the start afterwards is cut as well, at every point. */
  readonly again?: (point: number) => readonly CutChoice[];
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
  const result = { points: 0, cuts: 0, cutsAgain: 0 };
  const base = new SimulatedMachine();
  if (workload.isMade !== false) await (await openAgain(base)).close();
  for (let point = 1; ; point++) {
    const wanted = plan.points?.(point) ?? true;
    // In any case, to learn whether that is its end.
    const machine = base.restarted("kept", point);
    const life = new Life(machine, workload.options ?? {});
    const ended = await lives(life, workload);
    if (wanted || ended) {
      for (const choice of plan.choices(point)) {
        const name = `${workload.name}@${point}/${choice}`;
        if (only !== undefined && only !== name) continue;
        const allowed = life.history.allowed(choice === "killed");
        await explained(name, machine, () => survives(machine.restarted(choice), allowed, point));
        result.cuts++;
      }
      for (const choice of plan.again?.(point) ?? []) {
        const name = `${workload.name}@${point}/${choice}`;
        const restart = (cutAt: number): SimulatedMachine => machine.restarted(choice, cutAt);
        result.cutsAgain += await cutsTheStart(name, restart, life.history, choice === "killed");
      }
    }
    result.points = point;
    if (ended) return result;
  }
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

/** The start after a cut is cut at every point of its own, and what follows it. */
async function cutsTheStart(
  name: string,
  restart: (cutAt: number) => SimulatedMachine,
  history: History,
  killed: boolean,
): Promise<number> {
  const { found, probed } = await goOn(restart(Infinity));
  // What a killed process left may be lost with the power; what was left after a cut may not.
  const first = killed ? history.states.slice(history.durable) : [found];
  const allowed = { opening: first, open: [found, probed], durable: [probed] };
  let cuts = 0;
  for (let point = 1; ; point++) {
    const machine = restart(point);
    let stage: Stage = "opening";
    const ended = await goOn(machine, (now) => (stage = now)).then(
      () => true,
      (error: unknown) => {
        if (!machine.power.off) throw error;
        return false;
      },
    );
    machine.power.cut();
    for (const choice of ["dropped", "reordered", point * 7919] as const) {
      const full = `${name}>${point}/${choice}`;
      await explained(full, machine, () => survives(machine.restarted(choice), allowed[stage], 2));
      cuts++;
    }
    if (ended) return cuts;
  }
}

type Stage = "opening" | "open" | "durable";

/** A start, what it finds, and a further change. The store is left open: the next thing is a cut. */
async function goOn(
  machine: SimulatedMachine,
  told: (stage: Stage) => void = () => undefined,
): Promise<{ found: string; probed: string }> {
  const store = await openAgain(machine);
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
  machine: SimulatedMachine,
  allowed: readonly string[],
  point: number,
): Promise<void> {
  const { found, probed } = await goOn(machine);
  if (!allowed.includes(found)) throw new Error(difference(found, allowed));
  const next = machine.restarted("dropped");
  await clean(next, false);
  // Which of the two says it is as good as any, and a rebuild costs time.
  if (point % 2 === 0) await clean(next, true);
  const again = await openAgain(next);
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

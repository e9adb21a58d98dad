/**
 * Every call that a store makes of its disk fails, each in its turn, once and for a while, with EIO and with ENOSPC.
 * What was acknowledged is there afterwards, what was refused is not, and the store goes on by itself. At the end of
 * the faults the power goes as well, or the process is killed: what was durable is there then, and what was answered.
 */
import t from "tap";
import { checkStore } from "../fs/store/check.ts";
import { contents, expectOne, openStore, Scene, STORE } from "./system/fault-scene.ts";
import { FaultyDisk } from "./system/faulty-disk.ts";
import type { FaultyCall } from "./system/faulty-disk.ts";
import type { CutChoice } from "./system/simulated-machine.ts";

const STEPS = 24;
const long = process.env["ONESPOOL_LONG"] === "1";

t.setTimeout(240_000);

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
      if (first !== undefined && number % (long ? 2 : 8) === 0) await restarts(scene);
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
    const pace = long ? 1 : 9;
    for (let from = 1; from <= count; from += pace) {
      for (const length of [3, 17]) {
        if ((await attempt({ from, count: length, code })) !== undefined) trials++;
      }
    }
    t.ok(trials > 0, `${trials} trials`);
  });
}

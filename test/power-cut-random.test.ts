/**
 * Power cuts in random workloads of many changes: segments end, the index is brought up to date by itself, starts
 * rebuild it and write it while they read. `SEED=n` repeats a run, `CUT=name@point/choice` with it one of its cuts.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import t from "tap";
import { StoreError } from "../fs/store/errors.ts";
import { between, type Random, randomFrom } from "./movers.ts";
import type { Life } from "./system/cut-life.ts";
import { cutEverywhere, type Workload } from "./system/store-cuts.ts";
import { CUT_CHOICES } from "./system/simulated-machine.ts";
import { randomStep, Scene } from "./system/store-workloads.ts";

t.setTimeout(300_000);
// Hundreds of starts tell of torn tails and of an index made anew.
process.removeAllListeners("warning");

const isLong = process.env["ONESPOOL_LONG"] === "1";
const SEED = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
const WORKLOADS = isLong ? 150 : 6;
const CUTS = isLong ? 60 : 12;
t.comment(`seed ${SEED}: SEED=${SEED} node dist/test/power-cut-random.test.js repeats this run`);

const LITTLE_CACHE = {
  inodesMax: 2,
  rowBytesMax: 1000,
  dentriesMax: 2,
  unitsMax: 2,
  nodesMax: 1,
};

const FAILING = ["write", "fdatasync", "fsync", "truncate", "rename", "index write"] as const;

/** A step in which a call of the disk may fail. What is refused did not happen, and is not in the model. */
async function faultyStep(scene: Scene, random: Random): Promise<void> {
  const { life } = scene;
  const { power } = life.machine;
  if (random() < 0.2) {
    const call = FAILING[between(random, 0, FAILING.length - 1)] as (typeof FAILING)[number];
    power.failAt({ call, code: random() < 0.5 ? "EIO" : "ENOSPC", count: 1 });
  }
  try {
    await randomStep(scene, random);
    power.heal();
  } catch (error) {
    if (!(error instanceof StoreError) || power.off) throw error;
    power.heal();
    // One that could not be opened again is opened now; another one is busy.
    await life.open().catch((refused: unknown) => {
      if (!(refused instanceof StoreError) || refused.code !== "STORE_BUSY") throw refused;
    });
    await goesOn(life);
  }
}

/** The log goes on by itself, in a later turn. */
async function goesOn({ store, machine }: Life): Promise<void> {
  for (let turn = 0; ; turn++) {
    try {
      await store.durable();
      return;
    } catch (error) {
      if (machine.power.off || turn === 1000) throw error;
    }
    await nextTurn();
  }
}

function randomWorkload(seed: number, step = randomStep): Workload {
  const random = randomFrom(seed);
  const steps = between(random, 20, 120);
  return {
    name: `random-${seed}`,
    options: {
      segmentLength: [1500, 20_000, 100_000][between(random, 0, 2)] as number,
      checkpointBytes: [500, 4000, 1 << 20][between(random, 0, 2)] as number,
      ...(random() < 0.5 ? { cacheLimits: LITTLE_CACHE } : {}),
    },
    run: async (life) => {
      const scene = new Scene(life);
      const random = randomFrom(seed + 1);
      for (let k = 0; k < steps; k++) await step(scene, random);
      await life.store.close();
    },
  };
}

for (const [name, step] of [
  ["random changes", randomStep],
  ["changes on a disk that fails at times", faultyStep],
] as const) {
  t.test(`${name} survive cuts at random points`, async (t) => {
    let cuts = 0;
    let points = 0;
    for (let k = 0; k < WORKLOADS; k++) {
      const seed = SEED + k * 100;
      const random = randomFrom(seed + 2);
      const result = await cutEverywhere(randomWorkload(seed, step), {
        points: (count) => Array.from({ length: CUTS }, () => between(random, 1, count)),
        choices: (point) => ["killed", CUT_CHOICES[point % CUT_CHOICES.length] ?? "dropped", point],
        again: (point) => (point % 12 === 0 ? ["killed", point] : []),
      });
      cuts += result.cuts + result.cutsAgain;
      points += result.points;
    }
    t.comment(`${WORKLOADS} workloads of ${points} points, ${cuts} cuts`);
    t.ok(cuts > WORKLOADS * CUTS);
  });
}

/**
 * Power cuts in random workloads of many changes: segments end, the index is brought up to date by itself, starts
 * rebuild it and write it while they read. `SEED=n` repeats a run, `CUT=name@point/choice` with it one of its cuts.
 */
import t from "tap";
import { between, randomFrom } from "./movers.ts";
import { cutEverywhere, type Workload } from "./system/power-cuts.ts";
import { CUT_CHOICES } from "./system/simulated-machine.ts";
import { randomStep, Scene } from "./system/store-workloads.ts";

t.setTimeout(300_000);
// Hundreds of starts tell of torn tails and of an index made anew.
process.removeAllListeners("warning");

const isLong = process.env["ONESPOOL_LONG"] === "1";
const SEED = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
const WORKLOADS = isLong ? 300 : 12;
const CUTS = isLong ? 60 : 12;
t.comment(`seed ${SEED}: SEED=${SEED} node dist/test/power-cut-random.test.js repeats this run`);

const LITTLE_CACHE = {
  inodesMax: 2,
  rowBytesMax: 1000,
  dentriesMax: 2,
  unitsMax: 2,
  nodesMax: 1,
};

function randomWorkload(seed: number): Workload {
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
      for (let k = 0; k < steps; k++) await randomStep(scene, random);
      await life.store.close();
    },
  };
}

t.test("random changes survive cuts at random points", async (t) => {
  let cuts = 0;
  let points = 0;
  for (let k = 0; k < WORKLOADS; k++) {
    const seed = SEED + k * 100;
    const random = randomFrom(seed + 2);
    const result = await cutEverywhere(randomWorkload(seed), {
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

/**
 * Power cuts at random points of what many programs do to a whole spool, with segments that end, an index that is
 * brought up to date, and cleaning. `SEED=n` repeats a run, `CUT=name@point/choice` with it one of its cuts.
 */
import t from "tap";
import { between, randomFrom } from "./movers.ts";
import { CUT_CHOICES } from "./system/simulated-machine.ts";
import { cutSpoolEverywhere, type SpoolWorkload } from "./system/spool-cuts.ts";
import { beginSteps, Held, randomSpoolStep } from "./system/spool-steps.ts";

t.setTimeout(3_600_000);
// Hundreds of starts tell of torn tails and of an index made anew.
process.removeAllListeners("warning");

const isLong = process.env["ONESPOOL_LONG"] === "1";
const SEED = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
const WORKLOADS = isLong ? 150 : 4;
const CUTS = isLong ? 60 : 10;
t.comment(
  `seed ${SEED}: SEED=${SEED} node dist/test/power-cut-spool-random.test.js repeats this run`,
);

function randomWorkload(seed: number): SpoolWorkload {
  const random = randomFrom(seed);
  const steps = between(random, 20, 80);
  return {
    name: `spool-${seed}`,
    options: {
      segmentLength: [3000, 30_000, 1 << 20][between(random, 0, 2)] as number,
      checkpointBytes: [2000, 20_000, 1 << 20][between(random, 0, 2)] as number,
    },
    run: async (scene) => {
      const held = new Held();
      const random = randomFrom(seed + 1);
      await beginSteps(scene);
      for (let k = 0; k < steps; k++) await randomSpoolStep(scene, held, random, k + 1);
    },
  };
}

t.test("what was answered survives cuts at random points", async (t) => {
  let cuts = 0;
  let points = 0;
  for (let k = 0; k < WORKLOADS; k++) {
    const seed = SEED + k * 100;
    const random = randomFrom(seed + 2);
    const result = await cutSpoolEverywhere(randomWorkload(seed), {
      points: (count) => Array.from({ length: CUTS }, () => between(random, 1, count)),
      choices: (point) => ["killed", CUT_CHOICES[point % CUT_CHOICES.length] ?? "dropped", point],
      again: (point) => (point % 24 === 0 ? ["killed", point] : []),
    });
    cuts += result.cuts + result.cutsAgain;
    points += result.points;
  }
  t.comment(`${WORKLOADS} workloads of ${points} points, ${cuts} cuts`);
  t.ok(cuts > WORKLOADS * CUTS);
});

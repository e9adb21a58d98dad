/**
 * Power cuts at every point of workloads in which segments are cleaned: while live bytes and records are written
 * again, before and after the record that segments may go, while they go, and during the starts that follow.
 * Afterwards the index is made from the log with its gaps each time. `CUT=name@point/choice` repeats one.
 */
import t from "tap";
import { between, randomFrom } from "./movers.ts";
import { fsck, Life, STORE } from "./system/cut-life.ts";
import { pictureOf } from "./system/naive-store.ts";
import { cutEverywhere, type Workload } from "./system/store-cuts.ts";
import { CUT_CHOICES, SimulatedMachine } from "./system/simulated-machine.ts";
import { randomStep, Scene } from "./system/store-workloads.ts";

t.setTimeout(300_000);
// Hundreds of starts tell of torn tails and of an index made anew.
process.removeAllListeners("warning");

const isLong = process.env["ONESPOOL_LONG"] === "1";
const SEED = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
const WORKLOADS = isLong ? 200 : 8;
const CUTS = isLong ? 100 : 16;
t.comment(`seed ${SEED}: SEED=${SEED} node dist/test/power-cut-reclaim.test.js repeats this run`);

/** Mail is delivered and deleted, so that some of every segment is dead; then they are cleaned, twice. */
const reclaiming: Workload = {
  name: "reclaiming",
  options: { segmentLength: 2000 },
  run: async (life) => {
    const scene = new Scene(life);
    const [a, b, c] = ["a", "b", "c"].map((name) => scene.create(name)) as [number, number, number];
    scene.deliver([a, b], 30, 900);
    scene.deliver([b, c], 30, 900);
    scene.append(a, 700);
    scene.pend("d", 300);
    scene.setXattr(a, "user.a", Buffer.from("value"));
    const pended = scene.pend("e", 300);
    scene.splice(b, 0, 930, []);
    scene.unlink({ parent: 1, name: "c", ino: c, fileType: 0o100000 });
    scene.show(pended, a);
    scene.create("gone");
    scene.rename({ parent: 1, name: "a", ino: a, fileType: 0o100000 }, "gone");
    scene.cut(b, 100);
    await life.store.durable();
    for (let k = 0; k < 3; k++) scene.append(b, 600);
    scene.splice(b, 0, 1200, []);
    await life.store.checkpoint();
    const first = await life.store.reclaim({ now: true, deadPartMin: 0 });
    if (first.segments === 0) throw new Error("nothing was reclaimed");
    scene.append(a, 500);
    scene.dropOrphans();
    scene.splice(a, 0, 800, []);
    for (let k = 0; k < 4; k++) scene.append(b, 900);
    const reclaimed = life.store.reclaim({ now: true, deadPartMin: 0 });
    reclaimed.catch(() => undefined);
    scene.append(b, 100);
    await life.store.durable();
    await reclaimed;
    await life.reopen({ rebuildIndex: true });
    scene.append(a, 10);
    await life.store.durable();
    await life.store.reclaim({ now: true, deadPartMin: 0 });
  },
};

/** The disk is full, and nearly all that is in the last segment is dead: it is ended early, and cleaned with the others. */
const reclaimingFull: Workload = {
  name: "reclaiming-full",
  options: { segmentLength: 20_000 },
  run: async (life) => {
    const scene = new Scene(life);
    const [a, b] = ["a", "b"].map((name) => scene.create(name)) as [number, number];
    for (let k = 0; k < 24; k++) scene.append(b, 900);
    await life.store.checkpoint();
    for (let k = 0; k < 14; k++) scene.append(b, 900);
    scene.append(a, 300);
    scene.splice(b, 0, 38 * 900, []);
    await life.store.durable();
    const { disk } = life.machine;
    const { blockSize, blocks, free } = disk.space();
    // Short of room, with some left for the index.
    disk.capacity = (blocks - free) * blockSize + 600_000;
    const { segments } = await life.store.reclaim({ now: true });
    disk.capacity = Infinity;
    if (segments < 2) throw new Error(`${segments} segments were reclaimed, not the last one`);
    scene.append(a, 100);
    await life.store.durable();
  },
};

t.test("cleaning on a full disk survives a cut at every point", async (t) => {
  const result = await cutEverywhere(reclaimingFull, {
    // Not with parts of what was written: without a reserve, as here, a start has no room to keep them.
    choices: () => ["killed", "dropped"],
    again: (point) => (point % 16 === 0 ? ["killed"] : []),
    rebuilds: true,
  });
  t.comment(`${result.points} points, ${result.cuts} cuts, ${result.cutsAgain} of starts`);
  t.ok(result.points > 20);
});

t.test("cleaning survives a cut at every point", async (t) => {
  const result = await cutEverywhere(reclaiming, {
    choices: (point) => (isLong ? [...CUT_CHOICES, point] : ["killed", "dropped", point]),
    again: (point) => (isLong || point % 16 === 0 ? [point % 32 === 0 ? "killed" : point] : []),
    rebuilds: true,
  });
  t.comment(`${result.points} points, ${result.cuts} cuts, ${result.cutsAgain} of starts`);
  t.ok(result.points > 50);
});

function randomWorkload(seed: number): Workload {
  const random = randomFrom(seed);
  return {
    name: `reclaim-${seed}`,
    options: {
      segmentLength: [2000, 10_000, 60_000][between(random, 0, 2)] as number,
      checkpointBytes: [500, 4000, 1 << 20][between(random, 0, 2)] as number,
      reclaim: random() < 0.5,
      // Snapshots of most files take several commits.
      ...(random() < 0.5 && { reclaimStep: { extentsMax: 2, stepMs: 0 } }),
    },
    run: async (life) => {
      const scene = new Scene(life);
      const random = randomFrom(seed + 1);
      for (let k = 0; k < 80; k++) {
        await randomStep(scene, random);
        if (random() >= 0.04) continue;
        const done = life.store.reclaim({ now: true, deadPartMin: random() < 0.5 ? 0 : 0.3 });
        done.catch(() => undefined);
        // Half of the time others change the store meanwhile.
        if (random() < 0.5) scene.create(`new-${k}`);
        await done;
      }
      await life.store.close();
    },
  };
}

t.test("random changes and cleaning survive cuts at random points", async (t) => {
  let cuts = 0;
  let points = 0;
  for (let k = 0; k < WORKLOADS; k++) {
    const seed = SEED + k * 100;
    const random = randomFrom(seed + 2);
    const result = await cutEverywhere(randomWorkload(seed), {
      points: (count) => Array.from({ length: CUTS }, () => between(random, 1, count)),
      choices: (point) => ["killed", CUT_CHOICES[point % CUT_CHOICES.length] ?? "dropped", point],
      again: (point) => (point % 12 === 0 ? ["killed", point] : []),
      rebuilds: true,
    });
    cuts += result.cuts + result.cutsAgain;
    points += result.points;
  }
  t.comment(`${WORKLOADS} workloads of ${points} points, ${cuts} cuts`);
  t.ok(cuts > WORKLOADS * CUTS);
});

t.test("a segment that cannot be removed is removed later, and ends nothing", async (t) => {
  const machine = new SimulatedMachine();
  const life = new Life(machine, { segmentLength: 2000 });
  await life.open();
  const scene = new Scene(life);
  const a = scene.create("a");
  for (let k = 0; k < 8; k++) scene.append(a, 900);
  scene.splice(a, 0, 5000, []);
  machine.power.failAt({ call: "unlink", code: "EIO", pathEnd: ".seg" });
  t.equal((await life.store.reclaim({ now: true })).segments, 0, "none went");
  scene.append(a, 100);
  await life.store.durable();
  const before = machine.disk.list(`${STORE}/log`).length;
  machine.power.heal();
  await life.reopen();
  t.ok(machine.disk.list(`${STORE}/log`).length < before, "the next start removes it");
  t.equal(await pictureOf(life.store), life.model.picture());
  await life.store.close();
  t.same((await fsck(machine, true)).problems, []);
});

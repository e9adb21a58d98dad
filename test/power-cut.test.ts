/**
 * Power cuts at every point of small workloads, with all that may become of what was not synced; the start after
 * each cut is cut as well. `CUT=name@point/choice node dist/test/power-cut.test.js` repeats one.
 */
import t from "tap";
import { cutEverywhere, type Workload } from "./system/store-cuts.ts";
import { CUT_CHOICES, type CutChoice } from "./system/simulated-machine.ts";
import { Scene } from "./system/store-workloads.ts";

t.setTimeout(300_000);
// Hundreds of starts tell of torn tails and of an index made anew.
process.removeAllListeners("warning");

const isLong = process.env["ONESPOOL_LONG"] === "1";
const SEEDS = isLong ? 20 : 3;

/** Which of the states after a cut are started from with cuts. */
function again(point: number): CutChoice[] {
  if (isLong) return [...CUT_CHOICES, point];
  return [point % 2 === 0 ? "killed" : point];
}

const workloads: Workload[] = [
  {
    name: "creation",
    isMade: false,
    run: async () => undefined,
  },
  {
    name: "writes",
    run: async (life) => {
      const scene = new Scene(life);
      const a = scene.create("a");
      scene.append(a, 700);
      await life.store.durable();
      scene.splice(a, 100, 50, scene.unit(3000));
      scene.splice(a, 200, 500, []);
      scene.splice(a, scene.size(a), 0, [{ unit: 0, offset: 0, length: 5000 }]);
      await life.store.durable();
      scene.append(a, 10);
      await life.store.close();
    },
  },
  {
    name: "deliveries",
    run: async (life) => {
      const scene = new Scene(life);
      const boxes = ["a", "b", "c"].map((name) => scene.create(name));
      scene.deliver(boxes, 40, 900);
      await life.store.durable();
      scene.share(boxes[0] as number, 10, 500, boxes[1] as number);
      const both = [scene, scene].map(async () => {
        scene.deliver(boxes.slice(1), 0, 300);
        await life.store.durable();
      });
      await Promise.all(both);
      const id = scene.pend("d", 200);
      await life.store.durable();
      scene.show(id, boxes[0] as number);
    },
  },
  {
    name: "names",
    run: async (life) => {
      const scene = new Scene(life);
      const a = scene.create("a");
      scene.create("b");
      const directory = scene.makeDirectory("dir");
      scene.append(a, 600);
      await life.store.durable();
      const [first, second] = scene.files as [(typeof scene.files)[0], (typeof scene.files)[0]];
      scene.rename(first, "b");
      scene.link(a, "c", directory);
      scene.setXattr(a, "user.a", Buffer.from("value"));
      await life.store.checkpoint();
      scene.unlink({ ...second, ino: a });
      scene.dropOrphans();
      scene.setXattr(a, "user.a", undefined);
      scene.cut(a, 100);
      scene.snapshot(a);
      await life.store.durable();
    },
  },
  {
    name: "segments",
    options: { segmentLength: 1500 },
    run: async (life) => {
      const scene = new Scene(life);
      const a = scene.create("a");
      for (let k = 0; k < 6; k++) {
        scene.append(a, 600);
        if (k === 3) await life.store.durable();
        if (k === 4) await life.store.checkpoint();
      }
      await life.reopen();
      scene.append(a, 600);
      await life.store.close();
    },
  },
  {
    name: "rebuild",
    options: { segmentLength: 1500 },
    run: async (life) => {
      const scene = new Scene(life);
      const a = scene.create("a");
      for (let k = 0; k < 4; k++) scene.append(a, 600);
      await life.reopen({ rebuildIndex: true });
      scene.append(a, 600);
      await life.store.durable();
      await life.reopen({ rebuildIndex: true });
    },
  },
];

for (const workload of workloads) {
  t.test(workload.name, async (t) => {
    const seeds = (point: number): number[] =>
      Array.from({ length: SEEDS }, (_, k) => point * 1000 + k);
    const result = await cutEverywhere(workload, {
      choices: (point) => [...CUT_CHOICES, ...seeds(point)],
      again: (point) => (isLong || point % 5 === 0 ? again(point) : []),
    });
    t.comment(
      `${result.points} points, ${result.cuts} cuts, ${result.cutsAgain} cuts of the start after one`,
    );
    t.ok(result.points > 5);
  });
}

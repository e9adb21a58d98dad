/** Units that nobody came to reference, across cleaning and a crash. */
import t from "tap";
import { Life, openAgain } from "./system/cut-life.ts";
import { SimulatedMachine } from "./system/simulated-machine.ts";
import { Scene } from "./system/store-workloads.ts";

const options = { segmentLength: 5_000, keepUnlinked: true };
process.removeAllListeners("warning");

for (const isDropped of [true, false]) {
  const fate = isDropped ? "was dropped and cleaned away is gone" : "was kept is there";
  t.test(`after a crash a unit that ${fate}`, async (t) => {
    const life = new Life(new SimulatedMachine(), options);
    await life.open();
    const { store } = life;
    const scene = new Scene(life);
    const [a, b] = [scene.create("a"), scene.create("b")];
    const id = store.writeUnit([Buffer.alloc(900, 1)]);
    store.flush();
    for (let k = 0; k < 40; k++) scene.append(k % 4 === 0 ? a : b, 900);
    scene.splice(b, 0, 30 * 900, []);
    const checkpoint = store.checkpoint.bind(store);
    store.checkpoint = async () => {
      await checkpoint();
      // The index knows it, and the log does not say that it is dropped.
      if (isDropped) store.dropUnit(id);
    };
    const { segments } = await store.reclaim({ now: true, deadPartMin: 0 });
    t.ok(segments > 3, `${segments} segments went`);
    const again = await openAgain(life.machine.restarted("killed"), options);
    t.same(again.unlinkedUnits(), isDropped ? [] : [id]);
    t.equal(again.hasUnit(id) === undefined, isDropped);
    if (!isDropped) t.same(again.readUnit(id, 0, 900), Buffer.alloc(900, 1));
    await again.close();
    await life.abandon();
  });
}

/** What cleaning may take of the last room on a disk. */
import t from "tap";
import { Reserve } from "../fs/store/disk/reserve.ts";
import { Life } from "./system/cut-life.ts";
import { SimulatedMachine } from "./system/simulated-machine.ts";
import { Scene } from "./system/store-workloads.ts";

t.test("moving live bytes takes half of the reserve, the end of it the rest", async (t) => {
  const life = new Life(new SimulatedMachine(), { segmentLength: 5_000 });
  await life.open();
  const scene = new Scene(life);
  const [a, b] = [scene.create("a"), scene.create("b")];
  for (let k = 0; k < 40; k++) scene.append(k % 4 === 0 ? a : b, 900);
  scene.splice(b, 0, 30 * 900, []);
  const claims: string[] = [];
  const { admit } = Reserve.prototype;
  t.teardown(() => {
    Reserve.prototype.admit = admit;
  });
  Reserve.prototype.admit = function (claim) {
    claims.push(claim);
    admit.call(this, claim);
  };
  const { segments } = await life.store.reclaim({ now: true });
  t.ok(segments > 3, `${segments} segments went`);
  // Each batch: what it moves, and then the one record by which the segments go.
  t.match(claims.join(" "), /^((rewrite )+clean ?)+$/);
  await life.store.close();
});

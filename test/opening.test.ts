/** Starts that find an index of an earlier time, or the disk full while it is made anew. */
import t from "tap";
import { reservePath } from "../fs/store/paths.ts";
import { fsck, Life, openAgain, STORE } from "./system/cut-life.ts";
import { pictureOf } from "./system/naive-store.ts";
import { SimulatedIndexKind } from "./system/simulated-index.ts";
import { SimulatedMachine } from "./system/simulated-machine.ts";
import { Scene } from "./system/store-workloads.ts";

const tiny = { segmentLength: 5_000 };
const LOG = `${STORE}/log`;
process.removeAllListeners("warning");

/** A store with gaps in its log, and its index from before they came. */
async function withOldIndex(): Promise<{ life: Life; old: SimulatedMachine }> {
  const life = new Life(new SimulatedMachine(), tiny);
  await life.open();
  const scene = new Scene(life);
  const [a, b] = [scene.create("a"), scene.create("b")];
  for (let k = 0; k < 8; k++) scene.append(b, 900);
  await life.store.checkpoint();
  const rows = new Map(life.machine.indexKind.rows);
  for (let k = 0; k < 30; k++) scene.append(k % 4 === 0 ? a : b, 900);
  scene.splice(b, 0, 25 * 900, []);
  const { segments } = await life.store.reclaim({ now: true });
  if (segments < 4) throw new Error(`${segments} segments were cleaned`);
  await life.store.close();
  const { power, disk } = life.machine;
  const indexKind = new SimulatedIndexKind(power, rows);
  return { life, old: new SimulatedMachine(Infinity, power, disk, indexKind) };
}

function segmentNames(machine: SimulatedMachine): string[] {
  return machine.disk
    .list(LOG)
    .filter((name) => name.endsWith(".seg"))
    .sort();
}

t.test("an index that is older than what was cleaned away is made anew", async (t) => {
  const { life, old } = await withOldIndex();
  const store = await openAgain(old, tiny);
  t.equal(store.indexRebuilt, true);
  t.equal(await pictureOf(store), life.model.picture());
  await store.close();
  t.same((await fsck(old, false)).problems, []);
});

t.test("with such an index a segment that was lost is still told", async (t) => {
  const { old } = await withOldIndex();
  const lost = segmentNames(old).at(-2) as string;
  old.disk.unlink(`${LOG}/${lost}`);
  const message = `the log has no segment ${Number.parseInt(lost, 10)}`;
  await t.rejects(openAgain(old, tiny), { code: "STORE_DAMAGED", message });
});

t.test("a log that lacks its end is not taken for a cleaned one", async (t) => {
  const { life } = await withOldIndex();
  const lost = segmentNames(life.machine).at(-1) as string;
  life.machine.disk.unlink(`${LOG}/${lost}`);
  const message = `the log has no segment ${Number.parseInt(lost, 10)}`;
  await t.rejects(openAgain(life.machine, tiny), { code: "STORE_DAMAGED", message });
});

t.test("a disk that fills while the index is made anew ends no start", async (t) => {
  const { life } = await withOldIndex();
  const { disk } = life.machine;
  const fd = disk.open(reservePath(STORE), "w");
  disk.write(fd, Buffer.alloc(4 * 1024 * 1024), 0);
  disk.close(fd);
  for (let from = 1; from <= 4; from++) {
    const machine = life.machine.restarted("killed");
    machine.power.failAt({ call: "index write", code: "ENOSPC", from, count: 1 });
    const store = await openAgain(machine, { ...tiny, rebuildIndex: true, checkpointBytes: 500 });
    t.equal(store.indexRebuilt, true);
    t.equal(await pictureOf(store), life.model.picture(), `write ${from} found no room`);
    await store.close().catch(() => undefined);
  }
});

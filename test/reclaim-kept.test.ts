/** Segments that cleaning has to leave as they are: missing, unreadable or damaged ones. All else goes on. */
import t from "tap";
import { Life, openAgain, STORE } from "./system/cut-life.ts";
import { pictureOf } from "./system/naive-store.ts";
import { SimulatedMachine } from "./system/simulated-machine.ts";
import { systemError } from "./system/simulated-power.ts";
import { Scene } from "./system/store-workloads.ts";

const tiny = { segmentLength: 5_000 };
const SEGMENTS = `${STORE}/log`;
const second = `${SEGMENTS}/00000002.seg`;
process.removeAllListeners("warning");

/** A store with more dead bytes than it is to have; each segment has a live unit. */
async function untidy(): Promise<{ life: Life; scene: Scene }> {
  const life = new Life(new SimulatedMachine(), tiny);
  await life.open();
  const scene = new Scene(life);
  const [a, b] = [scene.create("a"), scene.create("b")];
  for (let k = 0; k < 60; k++) scene.append(k % 4 === 0 ? a : b, 900);
  scene.splice(b, 0, 45 * 900, []);
  await life.store.checkpoint();
  return { life, scene };
}

t.test("a store opens and cleans although a segment is missing", async (t) => {
  const { life } = await untidy();
  const { machine } = life;
  await life.store.close();
  machine.disk.unlink(second);
  const store = await openAgain(machine, { ...tiny, reclaim: true });
  const { kept } = store.reclaimer.status();
  t.equal(kept.length, 1);
  t.match(kept[0], /^cannot look at .*00000002\.seg/);
  await store.reclaimer.stop();
  t.ok((await store.reclaim({ now: true })).segments > 3, "others are cleaned");
  await store.close();
});

t.test("a segment that goes missing under a store ends no change", async (t) => {
  const { life } = await untidy();
  await life.reopen();
  life.machine.disk.unlink(second);
  life.store.reclaimer.start();
  const scene = new Scene(life);
  t.doesNotThrow(() => scene.create("new"));
  t.not(life.store.lookup(1, "new"), 0);
  await life.store.close();
});

t.test("a store whose opening fails at any write is let go of", async (t) => {
  let failed = 0;
  for (let from = 1; from <= 6; from++) {
    const machine = new SimulatedMachine();
    machine.power.failAt({ call: "write", code: "ENOSPC", from, count: 1 });
    const store = await openAgain(machine, tiny).catch(() => undefined);
    machine.power.heal();
    if (store === undefined) failed++;
    await store?.close();
    await (await openAgain(machine, tiny)).close();
  }
  t.ok(failed > 1, `${failed} openings failed`);
});

t.test("segments that are kept do not make cleaning go on", async (t) => {
  const { life } = await untidy();
  const { store, machine } = life;
  const names = machine.disk.list(SEGMENTS).filter((name) => name.endsWith(".seg"));
  for (const name of names.slice(0, 8)) {
    const path = `${SEGMENTS}/${name}`;
    // In the middle of each: of some frame, or of the bytes of one.
    for (let at = 40; at < machine.disk.length(path); at += 300) machine.disk.damage(path, at);
  }
  const { kept } = await store.reclaim({ now: true });
  t.equal(kept.length, 8);
  const { logBytes, logBytesMax } = store.reclaimer.status();
  t.ok(logBytes > logBytesMax, "with them the log is longer than it is to be");
  store.reclaimer.start();
  t.equal(store.reclaimer.status().state, "resting");
  await store.close();
});

t.test("a segment that cannot be read is kept, and all else is cleaned", async (t) => {
  for (const call of ["read", "open"] as const) {
    const { life } = await untidy();
    await life.reopen();
    const { machine, store } = life;
    const disk = machine.disk;
    const open = disk.open.bind(disk);
    if (call === "read") machine.power.failAt({ call, code: "EIO", pathEnd: "00000002.seg" });
    else {
      disk.open = (path, flags) => {
        if (path === second) throw systemError("EIO", "open", path);
        return open(path, flags);
      };
    }
    const { kept, segments } = await store.reclaim({ now: true });
    t.equal(kept.length, 1, `one that fails at ${call}`);
    t.match(kept[0], call === "read" ? /cannot read segment 2/ : /cannot open .*00000002/);
    t.ok(segments > 3, `${segments} others went`);
    machine.power.heal();
    disk.open = open;
    await life.reopen();
    t.equal(await pictureOf(life.store), life.model.picture());
    t.same((await life.store.reclaim({ now: true })).kept, [], "it can be read again");
    await life.store.close();
  }
});

t.test("a failure that does not tell of the segment keeps none", async (t) => {
  const { life } = await untidy();
  await life.reopen();
  const { disk } = life.machine;
  const open = disk.open.bind(disk);
  disk.open = (path, flags) => {
    if (path === second) throw systemError("EMFILE", "open", path);
    return open(path, flags);
  };
  await t.rejects(life.store.reclaim({ now: true }), { code: "STORE_IO" });
  disk.open = open;
  const { kept, segments } = await life.store.reclaim({ now: true });
  t.same(kept, []);
  t.ok(segments > 3);
  await life.store.close();
});

/** fsck looks at some units at a time: what it finds does not depend on how many, and there may be more than 2^24. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { ByteReader } from "../base/bytes.ts";
import { checkStore } from "../fs/store/check.ts";
import { IndexDb } from "../fs/store/index/index-db.ts";
import { kindRange, firstNumber, unitKey } from "../fs/store/index/keys.ts";
import { Store } from "../fs/store/store.ts";
import { Tally } from "../fs/store/check/tally.ts";
import { decodeUnit } from "../fs/store/state/unit.ts";
import { UnitPlaces } from "../fs/store/check/unit-places.ts";
import { Random, ReclaimModel } from "./reclaim-model.ts";

/** Entries that a Map of V8 takes. */
const MAP_SIZE_MAX = 2 ** 24;

t.setTimeout(120_000);

async function makeStore(directory: string): Promise<void> {
  const store = await Store.open(directory, { create: true, segmentLength: 6_000 });
  const model = new ReclaimModel(store, 7);
  for (let k = 0; k < 300; k++) model.step();
  await store.reclaim({ now: true, deadPartMin: 0 });
  for (let k = 0; k < 100; k++) model.step();
  await store.close();
}

/** Every seventh unit is said to stand one byte further on. */
async function displace(directory: string): Promise<number[]> {
  const index = await IndexDb.open(directory);
  const displaced: number[] = [];
  const batch = index.batch();
  let count = 0;
  await index.each(kindRange("u"), (key, value) => {
    const id = firstNumber(key);
    const unit = decodeUnit(id, new ByteReader(value));
    if (count++ % 7 !== 3) return;
    unit.move(unit.segment, unit.position + 1, unit.chunks);
    unit.write({
      put: (_key, row) => batch.put(unitKey(id), row),
      del: () => {},
    });
    displaced.push(id);
  });
  await batch.write();
  await index.close();
  return displaced;
}

t.test("fsck finds the same in many passes as in one", async (t) => {
  const parent = fs.mkdtempSync(join(tmpdir(), "onespool-fsck-passes-"));
  t.teardown(() => fs.rmSync(parent, { recursive: true, force: true }));
  const directory = join(parent, "s");
  await makeStore(directory);
  for (const unitsPerPass of [1, 3, 1_000_000]) {
    const report = await checkStore(directory, { unitsPerPass });
    t.same(report.problems, [], `${unitsPerPass} units in each pass`);
    t.ok(report.units > 20, `${report.units} units`);
  }

  const displaced = await displace(directory);
  t.ok(displaced.length > 3, `${displaced.length} units are not where the index says`);
  const wanted = displaced.map((id) => `unit ${id} is not where the index says it is`);
  for (const unitsPerPass of [1, 3, 1_000_000]) {
    const { problems } = await checkStore(directory, { unitsPerPass });
    t.same(
      problems.filter((problem) => problem.includes("is not where")),
      wanted,
      `${unitsPerPass} units in each pass`,
    );
  }
});

t.test("there may be more units than a Map takes", async (t) => {
  const count = MAP_SIZE_MAX + 10;
  const places = new UnitPlaces(count);
  for (let id = 1; !places.isFull; id++) places.addUnit(id);
  for (let id = 1; id <= count; id++) places.found(id, 1, id);
  places.found(count, 2, 5);
  t.equal(places.last, count);
  t.ok(places.isAt(1, 1, 1) && places.isAt(count - 1, 1, count - 1));
  t.ok(places.isAt(count, 2, 5), "the last frame counts");
  t.notOk(places.isAt(count, 1, count) || places.isAt(count + 1, 1, count + 1));
});

t.test("there may be more inodes than a Map takes", async (t) => {
  const tally = new Tally();
  for (let key = 0; key < MAP_SIZE_MAX + 10; key++) tally.add(key);
  tally.add(MAP_SIZE_MAX);
  t.equal(tally.get(MAP_SIZE_MAX), 2);
  t.equal(tally.get(MAP_SIZE_MAX + 9), 1);
  t.equal(tally.get(MAP_SIZE_MAX + 10), 0);
});

t.test("a tally counts as a Map does", async (t) => {
  const random = new Random(11);
  const tally = new Tally();
  const model = new Map<number, number>();
  for (let k = 0; k < 20_000; k++) {
    const key = random.below(4_000) * (random.below(2) === 0 ? 1 : 2 ** 31);
    tally.add(key);
    model.set(key, (model.get(key) ?? 0) + 1);
  }
  for (const [key, count] of model) if (tally.get(key) !== count) t.fail(`${key}`);
  t.equal(tally.get(4_001), 0);
});

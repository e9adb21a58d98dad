/** What is whole in a damaged log comes into a new store, without the index. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { backup } from "../fs/backup/backup.ts";
import { restore } from "../fs/backup/restore.ts";
import { salvage } from "../fs/salvage/salvage.ts";
import { checkStore } from "../fs/store/check.ts";
import { Store } from "../fs/store/store.ts";
import { onespool } from "./cli-process.ts";
import { readStore, spoil, StoreLoad } from "./store-load.ts";

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
t.setTimeout(180_000);
t.comment(`seed ${seed}: SEED=${seed} node dist/test/salvage.test.js repeats this run`);

const segmentLength = 32 * 1024;

interface Place {
  readonly directory: string;
  readonly store: string;
  readonly target: string;
  readonly load: StoreLoad;
}

async function make(
  test: Pick<typeof t, "teardown">,
  steps: number,
  cleaned = false,
): Promise<Place> {
  const directory = fs.mkdtempSync(join(tmpdir(), "onespool-salvage-"));
  test.teardown(() => fs.rmSync(directory, { recursive: true, force: true }));
  const store = join(directory, "store");
  const load = new StoreLoad(seed + steps);
  const opened = await Store.open(store, { create: true, segmentLength });
  for (let round = 0; round < 4; round++) {
    load.run(opened, steps / 4);
    if (cleaned) await opened.reclaim({ now: true, deadPartMin: 0 });
  }
  await opened.close();
  return { directory, store, target: join(directory, "new"), load };
}

function same(a: ReadonlyMap<string, Buffer>, b: ReadonlyMap<string, Buffer>): string[] {
  const names = new Set([...a.keys(), ...b.keys()]);
  return [...names].filter((name) => a.get(name)?.equals(b.get(name) ?? Buffer.alloc(0)) !== true);
}

for (const cleaned of [false, true]) {
  t.test(`a whole log ${cleaned ? "with gaps " : ""}comes over as it is`, async (t) => {
    const { store, target, load } = await make(t, 200, cleaned);
    const segments = fs.readdirSync(join(store, "log"));
    if (cleaned) t.notMatch(segments[0], "00000001.seg");
    fs.rmSync(join(store, "index"), { recursive: true });
    const report = await salvage(store, target);
    const { damage, files, found } = report;
    t.strictSame({ damage, files, found }, { damage: [], files: [], found: [] });
    if (!cleaned) t.equal(report.passedOver, 0);
    t.strictSame(same(await readStore(target), load.model), []);
    t.match(await checkStore(target), { clean: true, problems: [] });
  });
}

t.test("bytes of mail that are lost are zeros, and everything else is there", async (t) => {
  const { store, target, load } = await make(t, 120);
  const path = join(store, "log", "00000003.seg");
  const before = await checkStore(store);
  t.ok(before.clean);
  for (let at = 2000; at < 30_000; at += 6000) spoil(path, at);
  const damaged = await checkStore(store);
  fs.rmSync(join(store, "index"), { recursive: true });
  const report = await salvage(store, target);
  t.equal(report.damage.length, damaged.damage.length);
  const found = await readStore(target);
  const wrong = same(found, load.model).filter((name) => name !== "lost+found");
  const told = new Set(report.files.map((file) => file.path));
  const records = damaged.damage.some(({ kind }) => kind !== "data");
  // Of a damaged record it is not known what it said.
  if (!records) for (const name of wrong) t.ok(told.has(name), name);
  t.match(await checkStore(target), { clean: true, problems: [] });
});

t.test("a delivery whose record is lost is found, and other mailboxes lack nothing", async (t) => {
  const { store, target, load } = await make(t, 120);
  const path = join(store, "log", "00000002.seg");
  const bytes = fs.readFileSync(path);
  // The first commit of a delivery: kind 2 behind its lengths, one change, tag 4.
  let at = bytes.indexOf(Buffer.from([2, 0, 0, 0, 1, 4]));
  t.ok(at > 0);
  at -= 12;
  spoil(path, at);
  const touched = (await checkStore(store)).damage[0]?.files.flatMap(({ paths }) => paths) ?? [];
  t.comment(`mailboxes that still have it: ${touched.join(" ")}`);
  fs.rmSync(join(store, "index"), { recursive: true });
  await t.rejects(Store.open(store), {
    code: "STORE_DAMAGED",
    message: /segment 2: .* offset \d+/,
  });
  t.match(await onespool("fsck", store, "--salvage", target), {
    code: 0,
    stdout: /lost\+found\/unit-\d+\n[^]*a new store, without 1 damaged parts/,
  });
  const found = await readStore(target);
  const wrong = same(found, load.model).filter((name) => name !== "lost+found");
  for (const name of wrong) t.ok(touched.includes(name), `${name} is one of ${touched.join(" ")}`);
  t.match(await onespool("fsck", target), { code: 0 });
  t.match(await onespool("fsck", store, "--salvage", target), { code: 1, stderr: /is not empty/ });
});

t.test("damage everywhere", async (t) => {
  const { store, target } = await make(t, 160, true);
  for (const name of fs.readdirSync(join(store, "log"))) {
    const path = join(store, "log", name);
    const { size } = fs.statSync(path);
    for (let at = 40 + (seed % 100); at < size; at += 1500) spoil(path, at);
  }
  fs.rmSync(join(store, "index"), { recursive: true });
  t.ok((await salvage(store, target)).damage.length > 10);
  t.match(await checkStore(target), { clean: true, problems: [] });
});

t.test("a store that was cleaned is backed up while it is cleaned, and restored", async (t) => {
  const { directory, store, load } = await make(t, 200, true);
  const place = join(directory, "backups");
  const opened = await Store.open(store, { segmentLength });
  for (let round = 0; round < 4; round++) {
    load.run(opened, 60);
    const cleaning = opened.reclaim({ now: true, deadPartMin: 0 });
    await backup(store, place);
    await cleaning;
    const restored = join(directory, `restored-${round}`);
    await restore(place, restored);
    t.strictSame(same(await readStore(restored), load.model), [], `backup ${round}`);
    t.match(await checkStore(restored), { clean: true, problems: [] });
  }
  await opened.close();
});

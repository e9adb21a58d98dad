/** What is whole in a damaged log comes into a new store, without the index. */
import * as fs from "node:fs";
import t from "tap";
import { backup } from "../fs/backup/backup.ts";
import { restore } from "../fs/backup/restore.ts";
import { salvage } from "../fs/salvage/salvage.ts";
import { checkStore } from "../fs/store/check.ts";
import { segmentPath } from "../fs/store/paths.ts";
import { Store } from "../fs/store/store.ts";
import { onespool } from "./cli-process.ts";
import { readStore, spoil, StoreLoad } from "./store-load.ts";
import {
  differing,
  removeIndex,
  segmentPathsOf,
  segmentsOf,
  StoredMail,
} from "./system/stored-mail.ts";

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
t.setTimeout(180_000);
t.comment(`seed ${seed}: SEED=${seed} node dist/test/salvage.test.js repeats this run`);

interface Made {
  readonly mail: StoredMail;
  readonly store: string;
  readonly target: string;
}

async function make(
  test: Pick<typeof t, "teardown">,
  steps: number,
  cleaned = false,
): Promise<Made> {
  const mail = new StoredMail(test, new StoreLoad(seed + steps));
  const opened = await mail.open();
  for (let round = 0; round < 4; round++) {
    mail.load.run(opened, steps / 4);
    if (cleaned) await opened.reclaim({ now: true, deadPartMin: 0 });
  }
  await opened.close();
  return { mail, store: mail.store, target: mail.path("new") };
}

/** Mailboxes with other mail than they must hold: one that must be empty may be missing. */
function wrongIn(found: ReadonlyMap<string, Buffer>, model: ReadonlyMap<string, Buffer>): string[] {
  return differing(found, model).filter(
    (name) => name !== "lost+found" && (found.has(name) || model.get(name)?.length !== 0),
  );
}

for (const cleaned of [false, true]) {
  t.test(`a whole log ${cleaned ? "with gaps " : ""}comes over as it is`, async (t) => {
    const { mail, store, target } = await make(t, 200, cleaned);
    if (cleaned) t.not(segmentsOf(store)[0], 1);
    removeIndex(store);
    const report = await salvage(store, target);
    const { damage, files, found } = report;
    t.strictSame({ damage, files, found }, { damage: [], files: [], found: [] });
    t.strictSame(differing(await readStore(target), mail.model), []);
    t.match(await checkStore(target), { clean: true, problems: [] });
  });
}

t.test("bytes of mail that are lost are zeros, and everything else is there", async (t) => {
  const { mail, store, target } = await make(t, 120);
  const path = segmentPath(store, 3);
  const before = await checkStore(store);
  t.ok(before.clean);
  for (let at = 2000; at < 30_000; at += 6000) spoil(path, at);
  const damaged = await checkStore(store);
  removeIndex(store);
  const report = await salvage(store, target);
  t.equal(report.damage.length, damaged.damage.length);
  const found = await readStore(target);
  const wrong = wrongIn(found, mail.model);
  const told = new Set(report.files.map((file) => file.path));
  const records = damaged.damage.some(({ kind }) => kind !== "data");
  // Of a damaged record it is not known what it said.
  if (!records) for (const name of wrong) t.ok(told.has(name), name);
  t.match(await checkStore(target), { clean: true, problems: [] });
});

t.test("a delivery whose record is lost is found, and other mailboxes lack nothing", async (t) => {
  const { mail, store, target } = await make(t, 120);
  const path = segmentPath(store, 2);
  const bytes = fs.readFileSync(path);
  // The first commit of a delivery: kind 2 behind its lengths, one change, tag 4.
  let at = bytes.indexOf(Buffer.from([2, 0, 0, 0, 1, 4]));
  t.ok(at > 0);
  at -= 12;
  spoil(path, at);
  const touched = (await checkStore(store)).damage[0]?.files.flatMap(({ paths }) => paths) ?? [];
  t.comment(`mailboxes that still have it: ${touched.join(" ")}`);
  removeIndex(store);
  await t.rejects(Store.open(store), {
    code: "STORE_DAMAGED",
    message: /segment 2: .* offset \d+/,
  });
  t.match(await onespool("fsck", store, "--salvage", target), {
    code: 0,
    stdout: /lost\+found\/unit-\d+\n[^]*a new store, without 1 damaged parts/,
  });
  const found = await readStore(target);
  const wrong = wrongIn(found, mail.model);
  for (const name of wrong) t.ok(touched.includes(name), `${name} is one of ${touched.join(" ")}`);
  t.match(await onespool("fsck", target), { code: 0 });
  t.match(await onespool("fsck", store, "--salvage", target), { code: 1, stderr: /is not empty/ });
});

t.test("damage everywhere", async (t) => {
  const { store, target } = await make(t, 160, true);
  for (const path of segmentPathsOf(store)) {
    const { size } = fs.statSync(path);
    for (let at = 40 + (seed % 100); at < size; at += 1500) spoil(path, at);
  }
  removeIndex(store);
  t.ok((await salvage(store, target)).damage.length > 10);
  t.match(await checkStore(target), { clean: true, problems: [] });
});

t.test("a store that was cleaned is backed up while it is cleaned, and restored", async (t) => {
  const { mail, store } = await make(t, 200, true);
  const place = mail.path("backups");
  const opened = await mail.open();
  for (let round = 0; round < 4; round++) {
    mail.load.run(opened, 60);
    const cleaning = opened.reclaim({ now: true, deadPartMin: 0 });
    await backup(store, place);
    await cleaning;
    const restored = mail.path(`restored-${round}`);
    await restore(place, restored);
    t.strictSame(differing(await readStore(restored), mail.model), [], `backup ${round}`);
    t.match(await checkStore(restored), { clean: true, problems: [] });
  }
  await opened.close();
});

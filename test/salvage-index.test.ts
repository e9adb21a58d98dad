/**
 * Salvage says all that is lost: what the index knows and the log has not, segments that nothing calls cleaned away; and it keeps
 * whole mail that no record names any more.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { SalvageReport } from "../fs/salvage/salvage.ts";
import { salvage } from "../fs/salvage/salvage.ts";
import { checkStore } from "../fs/store/check.ts";
import { segmentPath } from "../fs/store/paths.ts";
import { scanSegment } from "../fs/store/log/segment-scan.ts";
import { Store } from "../fs/store/store.ts";
import { onespool } from "./cli-process.ts";
import { readStore, StoreLoad } from "./store-load.ts";
import {
  differing,
  removeIndex,
  segmentPathsOf,
  segmentsOf,
  StoredMail,
} from "./system/stored-mail.ts";

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
t.setTimeout(90_000);
t.comment(`seed ${seed}: SEED=${seed} node dist/test/salvage-index.test.js repeats this run`);

const make = (test: Pick<typeof t, "teardown">, steps: number): Promise<StoredMail> =>
  StoredMail.make(test, seed + steps, steps);

/** Every file that has not what it had is named; names of those that have. */
async function checkTold(
  t: { ok(value: unknown, message: string): boolean },
  mail: StoredMail,
  report: SalvageReport,
  target: string,
): Promise<string[]> {
  const wrong = differing(await readStore(target), mail.model).filter((n) => n !== "lost+found");
  const told = new Set([...report.files, ...report.differing].map(({ path }) => path));
  for (const { files } of report.damage) {
    for (const { paths } of files) for (const path of paths) told.add(path);
  }
  for (const name of wrong) t.ok(told.has(name), `${name} is one of ${[...told].join(" ")}`);
  return wrong;
}

/** Where the last commit of a store's log begins, and which units stand in front of it. */
function lastCommit(path: string, segment: number): { offset: number; units: number[] } {
  let found = { offset: 0, units: [] as number[] };
  let units: number[] = [];
  scanSegment(fs.readFileSync(path), segment, true, (frame) => {
    if (frame.kind === "unit") units.push(frame.unit.id);
    else [found, units] = [{ offset: frame.offset, units }, []];
  });
  return found;
}

t.test("mail whose record was the last one is found", async (t) => {
  const directory = new StoredMail(t, new StoreLoad(seed));
  const opened = await directory.open();
  directory.load.run(opened, 30);
  const bytes = Buffer.from("From somebody\n\nThe last mail.\n\n");
  const unit = opened.writeUnit([bytes]);
  const extents = [{ unit, offset: 0, length: bytes.length }];
  const name = [...directory.model.keys()].find((one) => opened.lookup(1, one) !== 0) as string;
  const ino = opened.lookup(1, name);
  const offset = opened.inode(ino)?.size ?? 0;
  opened.commit([{ type: "splice", ino, offset, remove: 0, extents }]);
  await opened.close();
  const path = segmentPathsOf(directory.store).at(-1) as string;
  const last = lastCommit(path, segmentsOf(directory.store).at(-1) as number);
  t.strictSame(last.units, [unit]);
  const content = fs.readFileSync(path);
  fs.writeFileSync(path, content.fill(0, last.offset));

  for (const indexKnown of [true, false]) {
    if (!indexKnown) removeIndex(directory.store);
    const target = directory.path(`new-${indexKnown}`);
    const report = await salvage(directory.store, target);
    t.match(report, { indexKnown, found: [`unit-${unit}`] });
    const salvaged = await Store.open(target);
    const found = salvaged.lookup(salvaged.lookup(1, "lost+found"), `unit-${unit}`);
    t.ok(salvaged.read(found, 0, 1000).equals(bytes));
    await salvaged.close();
    t.match(await checkStore(target), { clean: true });
    if (!indexKnown) continue;
    t.match(report.damage, [{ kind: "cut", offset: last.offset, files: [{ paths: [name] }] }]);
    t.match(report.differing, [{ path: name, bytes: offset + bytes.length, bytesNow: offset }]);
  }
});

t.test("segments that are cut or missing are told, with their files", async (t) => {
  const mail = await make(t, 120);
  const { length } = segmentsOf(mail.store);
  t.ok(length > 3);
  let wrong = 0;
  for (const [k, how] of [
    [0, "missing"],
    [0, "cut"],
    [1, "missing"],
    [length - 1, "missing"],
    [length - 1, "cut"],
  ] as const) {
    const store = mail.copy("damaged");
    const path = segmentPathsOf(store)[k] as string;
    if (how === "cut") fs.truncateSync(path, fs.statSync(path).size >> 1);
    else fs.rmSync(path);
    const target = mail.path(`new-${k}-${how}`);
    const report = await salvage(store, target);
    t.match(report, { indexKnown: true });
    t.ok(
      report.damage.some(({ segment }) => segment === k + 1),
      `${how} ${k + 1}: ${JSON.stringify(report.damage)}`,
    );
    wrong += (await checkTold(t, mail, report, target)).length;
    t.match(await checkStore(target), { clean: true, problems: [] });
    removeIndex(store);
    if (how === "missing" && k < length - 1) {
      const { damage } = await salvage(store, `${target}-again`);
      t.match(damage, [{ kind: "missing", segment: k + 1 }]);
    }
  }
  t.ok(wrong > 10, `${wrong} files were not what they had been`);
});

t.test("nothing is said of a store that lost nothing", async (t) => {
  for (const cleaned of [false, true]) {
    const mail = await make(t, 120);
    const opened = await mail.open();
    if (cleaned) await opened.reclaim({ now: true, deadPartMin: 0 });
    mail.load.run(opened, 20);
    await opened.durable();
    // As a kill leaves it: the index lags.
    const store = mail.copy("killed");
    await opened.close();
    const target = mail.path("new");
    const report = await salvage(store, target);
    const nothing = { damage: [], files: [], found: [], differing: [], unknownFiles: 0 };
    t.strictSame(report, { ...nothing, indexKnown: true });
    t.strictSame(differing(await readStore(target), mail.model), []);
    t.notOk(fs.readdirSync(target).some((name) => name.startsWith("index.")));
    if (cleaned) continue;
    const [first] = segmentPathsOf(store) as [string];
    fs.appendFileSync(first, Buffer.alloc(5000));
    const zeros = await salvage(store, mail.path("zeros"));
    t.match(zeros, {
      files: [],
      found: [],
      differing: [],
      damage: [{ kind: "record", segment: 1 }],
    });
  }
});

t.test(
  "swapped segments are read in their order; of one that was copied over, all is told",
  async (t) => {
    const mail = await make(t, 120);
    const store = mail.copy("swapped");
    const [one, two] = segmentPathsOf(store) as [string, string];
    fs.renameSync(one, `${one}.x`);
    fs.renameSync(two, one);
    fs.renameSync(`${one}.x`, two);
    const report = await salvage(store, mail.path("new"));
    t.match(report, {
      damage: [{ kind: "misplaced" }, { kind: "misplaced" }],
      differing: [],
      found: [],
    });
    t.strictSame(differing(await readStore(mail.path("new")), mail.model), []);

    const copied = mail.copy("copied");
    fs.copyFileSync(segmentPath(copied, 3), segmentPath(copied, 2));
    const target = mail.path("newer");
    const told = await salvage(copied, target);
    t.match(told.damage, [
      { kind: "misplaced", segment: 2, number: 3 },
      { kind: "missing", segment: 2 },
    ]);
    await checkTold(t, mail, told, target);
    t.match(await checkStore(target), { clean: true, problems: [] });
  },
);

t.test("the end that a start took off and kept is read in its place", async (t) => {
  const mail = await make(t, 60);
  const path = segmentPathsOf(mail.store).at(-1) as string;
  removeIndex(mail.store);
  const bytes = fs.readFileSync(path);
  const at = bytes.length >> 1;
  fs.writeFileSync(`${path}.cut-at-${at}`, bytes.subarray(at));
  fs.truncateSync(path, at);
  const target = mail.path("new");
  await salvage(mail.store, target);
  t.strictSame(differing(await readStore(target), mail.model), []);
});

t.test("mail of files whose first record is lost is found", async (t) => {
  const mail = await make(t, 60);
  removeIndex(mail.store);
  fs.rmSync(segmentPath(mail.store, 1));
  const target = mail.path("new");
  const report = await salvage(mail.store, target);
  t.ok(
    report.found.some((name) => name.startsWith("inode-")),
    report.found.join(" "),
  );
  t.match(await checkStore(target), { clean: true, problems: [] });
});

t.test("an index of another store is not asked", async (t) => {
  const mail = await make(t, 60);
  const other = await make(t, 50);
  fs.rmSync(join(mail.store, "index"), { recursive: true });
  fs.cpSync(join(other.store, "index"), join(mail.store, "index"), { recursive: true });
  const report = await salvage(mail.store, mail.path("new"));
  t.match(report, { indexKnown: false, damage: [], differing: [] });
  t.match(await onespool("fsck", mail.store, "--salvage", mail.path("newer")), {
    code: 0,
    stdout: /cannot be told\n[^]*: a new store, without 0 damaged parts/,
  });
});

/** Backups of stores without a mount: what they hold, what they copy, what they refuse, deaths in the middle. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import { backup } from "../fs/backup/backup.ts";
import { listBackups, restore } from "../fs/backup/restore.ts";
import { checkStore } from "../fs/store/check.ts";
import { encodeSegmentHeader, SEGMENT_HEADER_LENGTH } from "../fs/store/records/format.ts";
import { segmentPath } from "../fs/store/paths.ts";
import { command, onespool } from "./cli-process.ts";
import { contentsOf, randomFrom, readStore, spoil, spoilSegment, StoreLoad } from "./store-load.ts";
import { differing, segmentsOf, StoredMail } from "./system/stored-mail.ts";

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
t.setTimeout(180_000);
t.comment(`seed ${seed}: SEED=${seed} node dist/test/backup.test.js repeats this run`);

interface Made {
  readonly mail: StoredMail;
  readonly store: string;
  /** Where its backups are. */
  readonly place: string;
}

async function make(
  test: Pick<typeof t, "teardown">,
  load: StoreLoad,
  steps: number,
): Promise<Made> {
  const mail = new StoredMail(test, load);
  if (steps > 0) await mail.add(steps);
  return { mail, store: mail.store, place: mail.path("backups") };
}

t.test("a restored store holds what the store held, and is sound", async (t) => {
  const { mail, store, place } = await make(t, new StoreLoad(seed), 200);
  const report = await backup(store, place);
  t.same(report.damage, []);
  t.equal(report.copiedSegments, report.segments);
  const restored = mail.path("restored");
  await restore(place, restored);
  t.same(await readStore(restored), mail.model);
  t.match(await checkStore(restored), { clean: true, problems: [] });
});

t.test("a backup of a store in use is the store at a moment since the backup began", async (t) => {
  const { mail, store, place } = await make(t, new StoreLoad(seed + 1), 0);
  const { load } = mail;
  const opened = await mail.open();
  load.run(opened, 100);
  const began = new Map(load.model);
  const moments = [began];
  const state = { done: false };
  const running = backup(store, place).finally(() => (state.done = true));
  while (!state.done) {
    load.run(opened, 1);
    moments.push(new Map(load.model));
    await sleep(0);
  }
  await running;
  const restored = mail.path("restored");
  await restore(place, restored);
  const found = await readStore(restored);
  const moment = moments.findIndex((model) => differing(model, found).length === 0);
  t.not(moment, -1, `one of ${moments.length} moments`);
  await opened.close();
});

t.test("a further backup copies what is new, and every backup can be restored", async (t) => {
  const { mail, store, place } = await make(t, new StoreLoad(seed + 2), 0);
  const models: Map<string, Buffer>[] = [];
  for (let k = 0; k < 4; k++) {
    await mail.add(60);
    models.push(new Map(mail.model));
    const segments = segmentsOf(store).length;
    const report = await backup(store, place);
    t.equal(report.number, k + 1);
    t.equal(report.segments, segments);
    if (k > 0) t.ok(report.copiedSegments < segments, "fewer than all");
  }
  const again = await backup(store, place);
  t.equal(again.copiedBytes, 0, "nothing is new");
  for (const [k, model] of models.entries()) {
    const restored = mail.path(`restored-${k}`);
    await restore(place, restored, { number: k + 1 });
    t.same(await readStore(restored), model, `backup ${k + 1}`);
  }
  t.test("--keep removes the older ones and what only they name", async (t) => {
    const report = await backup(store, place, { keep: 2 });
    t.same(report.removedBackups, [1, 2, 3, 4]);
    t.same(
      listBackups(place).map(({ number }) => number),
      [5, 6],
    );
    const named = new Set(
      listBackups(place).flatMap(({ segments }) => segments.map((s) => s.checksum)),
    );
    t.equal(fs.readdirSync(join(place, "segments")).length, named.size);
    await restore(place, undefined, { number: 5 });
    t.match(await onespool("restore", place, "--check"), { code: 0 });
  });
});

t.test("a copy or a manifest that was changed is not restored", async (t) => {
  const { mail, store, place } = await make(t, new StoreLoad(seed + 3), 60);
  await backup(store, place);
  const segments = join(place, "segments");
  const [name] = fs.readdirSync(segments) as [string];
  const at = Math.floor(fs.statSync(join(segments, name)).size / 2);
  const before = spoil(join(segments, name), at);
  const restored = mail.path("restored");
  await t.rejects(restore(place, undefined), { code: "BACKUP_DAMAGED" });
  await t.rejects(restore(place, restored), { code: "BACKUP_DAMAGED" });
  t.match(await onespool("fsck", restored), { code: 1, stderr: /is not a store/ });
  spoil(join(segments, name), at, before);
  await restore(place, undefined);
  fs.truncateSync(join(segments, name), at);
  await t.rejects(restore(place, undefined), { code: "BACKUP_DAMAGED", message: /has \d+ bytes/ });
  fs.rmSync(join(segments, name));
  await t.rejects(restore(place, undefined), { code: "BACKUP_DAMAGED", message: /is missing/ });
  t.equal((await backup(store, place)).copiedSegments, 1, "the next backup copies it again");
  await restore(place, undefined);
  const manifest = join(place, "backups", "000002.json");
  for (const at of [0, 20, fs.statSync(manifest).size - 3]) {
    const byte = spoil(manifest, at);
    await t.rejects(restore(place, undefined), { code: "BACKUP_DAMAGED" });
    spoil(manifest, at, byte);
  }
  await restore(place, undefined);
});

t.test(
  "damage in the store is copied as it is, told, and never replaces a whole copy",
  async (t) => {
    const { store, place } = await make(t, new StoreLoad(seed + 4), 60);
    const at = fs.statSync(segmentPath(store, 2)).size - 100;
    const before = spoilSegment(store, 2, at);
    const first = await backup(store, place);
    t.match(first.damage, [{ segment: 2 }]);
    t.match(await onespool("backup", store, place, "--keep", "1"), {
      code: 4,
      stdout: /segment 2, offset \d+: .* damaged in the store[^]*no old backup was removed/,
    });
    t.equal(listBackups(place).length, 2);
    t.match(await onespool("restore", place, "--check"), { code: 4, stdout: /segments 2;/ });
    spoil(segmentPath(store, 2), at, before);
    t.match(await backup(store, place), { damage: [], copiedSegments: 1 });
    spoilSegment(store, 2, at);
    t.match((await backup(store, place)).damage, [{ segment: 2 }]);
    t.match(await onespool("restore", place, "--check"), { code: 0 }, "the whole copy is used");
  },
);

t.test("a directory of another store, of something else, or in the store is refused", async (t) => {
  const { mail, store, place } = await make(t, new StoreLoad(seed + 5), 30);
  await backup(store, place);
  const { store: other } = await make(t, new StoreLoad(seed + 6), 30);
  await t.rejects(backup(other, place), { code: "BACKUP_PLACE", message: /another store/ });
  await t.rejects(backup(other, mail.directory), { code: "BACKUP_PLACE", message: /is not empty/ });
  t.match(await onespool("backup", store, join(store, "x")), {
    code: 1,
    stderr: /lies in the store/,
  });
  t.match(await onespool("restore", place, join(store, "log/x")), {
    code: 1,
    stderr: /lies in the store/,
  });
  t.match(await onespool("backup", place, other), { code: 1, stderr: /is not a store/ });
  t.match(await onespool("backup", store, place, "--keep", "0"), { code: 2, stderr: /1 or more/ });
  t.match(await onespool("restore", place, store), { code: 1, stderr: /is not empty/ });
  t.match(await onespool("restore", store, mail.path("y")), {
    code: 1,
    stderr: /no backups/,
  });
  t.match(await onespool("restore", place, "--backup", "7", "--check"), {
    code: 1,
    stderr: /has no backup 7/,
  });
  const clone = mail.copy("clone");
  for (const one of [store, clone]) {
    const opened = await mail.open(one);
    for (let k = 0; k < 40; k++) {
      opened.writeUnit([Buffer.alloc(4000, `${one}${k}`)]);
      opened.flush();
    }
    await opened.close();
  }
  await backup(store, place);
  await t.rejects(backup(clone, place), { code: "BACKUP_PLACE", message: /itself a copy/ });
});

t.test("a restored store is backed up to a directory of its own", async (t) => {
  const { mail, store, place } = await make(t, new StoreLoad(seed + 9), 30);
  await backup(store, place);
  const restored = mail.path("restored");
  t.match(await onespool("restore", place, restored), { code: 0, stdout: /restored to/ });
  await t.rejects(backup(restored, place), { code: "BACKUP_PLACE" });
  t.match(await onespool("backup", restored, mail.path("more")), { code: 0 });
});

t.test("one process at a time writes into a directory", async (t) => {
  const { store, place } = await make(t, new StoreLoad(seed + 10), 200);
  const [first, second] = await Promise.allSettled([backup(store, place), backup(store, place)]);
  t.equal(first.status, "fulfilled");
  t.match(second, { status: "rejected", reason: { code: "BACKUP_BUSY" } });
});

t.test(
  "a backup that is killed leaves the earlier one whole, and the next one goes on",
  async (t) => {
    const { mail, store, place } = await make(t, new StoreLoad(seed + 12, 40), 50);
    const random = randomFrom(seed + 11);
    await backup(store, place);
    const rounds = process.env["ONESPOOL_LONG"] === "1" ? 60 : 8;
    for (let round = 0; round < rounds; round++) {
      await mail.add(150);
      const child = spawn(process.execPath, [command, "backup", store, place], { stdio: "ignore" });
      const ended = once(child, "exit");
      const before = listBackups(place).length;
      // From its first file on, at a random moment of its work.
      const watcher = fs.watch(join(place, "segments"), () => {
        watcher.close();
        setTimeout(() => child.kill("SIGKILL"), random() * 30);
      });
      await ended;
      watcher.close();
      const after = listBackups(place).length;
      t.ok(after === before || after === before + 1);
      await restore(place, undefined);
    }
    const report = await backup(store, place);
    t.same(report.damage, []);
    t.notOk(fs.readdirSync(join(place, "segments")).some((name) => name.endsWith(".tmp")));
    const restored = `${store}-restored`;
    await restore(place, restored);
    t.same(await readStore(restored), mail.model);
  },
);

t.test("the identity stays when the store is opened and backed up again", async (t) => {
  const { mail, store, place } = await make(t, new StoreLoad(seed + 13), 20);
  await backup(store, place);
  const identity = fs.readFileSync(join(store, "identity"), "latin1");
  const opened = await mail.open();
  mail.load.run(opened, 20);
  await opened.checkpoint();
  t.same(await contentsOf(opened), mail.model);
  await backup(store, place);
  await opened.close();
  t.equal(fs.readFileSync(join(store, "identity"), "latin1"), identity);
});

t.test("a segment whose end has moved and is not cut yet is copied as it will be", async (t) => {
  const { mail, store, place } = await make(t, new StoreLoad(seed + 9), 200);
  const last = segmentsOf(store).at(-1) as number;
  const [ended, header] = [segmentPath(store, last - 1), segmentPath(store, last)];
  const { size } = fs.statSync(ended);
  const fd = fs.openSync(header, "r+");
  fs.writeSync(fd, encodeSegmentHeader(last, size), 0, SEGMENT_HEADER_LENGTH, 0);
  fs.closeSync(fd);
  // What was moved, and the zeros that are written ahead.
  const moved = fs.readFileSync(header).subarray(SEGMENT_HEADER_LENGTH);
  fs.appendFileSync(ended, Buffer.concat([moved, Buffer.alloc(10_000)]));
  const first = await backup(store, place);
  t.same(first.damage, []);
  t.equal((await backup(store, place)).copiedSegments, 0, "nothing is new before it is cut");
  fs.truncateSync(ended, size);
  t.equal((await backup(store, place)).copiedSegments, 0, "nor afterwards");
  const restored = mail.path("restored");
  await restore(place, restored);
  t.same(await readStore(restored), mail.model);
});

t.test("a manifest that cannot be read hides no other backup, and is told of", async (t) => {
  const { store, place } = await make(t, new StoreLoad(seed + 40), 10);
  for (let k = 0; k < 3; k++) await backup(store, place);
  fs.writeFileSync(join(place, "backups", "000002.json"), "junk");
  t.same(
    listBackups(place).map(({ number }) => number),
    [1, 3],
  );
  await t.rejects(backup(store, place, { keep: 3 }), {
    code: "BACKUP_DAMAGED",
    message: /^backup 4 is done, but old ones cannot be removed: .*000002/,
  });
  await restore(place, undefined, { number: 4 });
});

t.test("a copy that is no longer what was copied is found and made anew", async (t) => {
  // Longer than what is compared with the store each time.
  const mail = new StoredMail(t, new StoreLoad(seed + 30), 128 * 1024);
  await mail.add(200);
  const [store, place] = [mail.store, mail.path("backups")];
  await backup(store, place);
  const directory = join(place, "segments");
  const sealed = fs.readdirSync(directory).sort().slice(0, 2);
  for (const name of sealed) spoil(join(directory, name), 5000);
  const mended: string[] = [];
  let last = "";
  for (let count = 0; count < 14; count++) {
    const report = await onespool("backup", store, place, "--json");
    const { mendedCopies } = JSON.parse(report.stdout) as { mendedCopies: string[] };
    mended.push(...mendedCopies);
    last = report.stdout;
  }
  t.strictSame(mended.sort(), sealed, last);
  const restored = mail.path("restored");
  await restore(place, restored, { number: 1 });
  t.same(await readStore(restored), mail.model);
});

/** LevelDB after a write that failed, for want of room: it is replaced while rows are read, and nothing is lost. */
import t from "tap";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkStore } from "../fs/store/check.ts";
import { IndexDb } from "../fs/store/index/index-db.ts";
import { Store } from "../fs/store/store.ts";
import { systemDisk } from "../fs/store/disk/system-disk.ts";
import { newFile } from "./system/cut-life.ts";

const skip = process.getuid?.() === 0 ? false : "only root can mount a small tmpfs";

interface Tap {
  teardown(done: () => void): unknown;
}

/** A directory with a file system of 24 MiB. */
function smallDirectory(t: Tap): string {
  const parent = mkdtempSync(join(tmpdir(), "onespool-index-"));
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=24m", "tmpfs", parent]);
  t.teardown(() => {
    if (status === 0) spawnSync("umount", ["-l", parent]);
    rmSync(parent, { recursive: true, force: true });
  });
  if (status !== 0) throw new Error("no tmpfs");
  return parent;
}

function fill(parent: string, left: number): void {
  const { bavail, bsize } = statfsSync(parent);
  writeFileSync(join(parent, "ballast"), Buffer.alloc(Math.max(0, bavail * bsize - left), 1));
}

function empty(parent: string): void {
  rmSync(join(parent, "ballast"));
}

const key = (number: number): Buffer => Buffer.from(`k${String(number).padStart(6, "0")}`);

t.test("rows can be read all the time, and written when there is room", { skip }, async (t) => {
  const parent = smallDirectory(t);
  const index = await IndexDb.open(parent);
  const write = async (from: number, count: number, length: number): Promise<void> => {
    const batch = index.batch();
    for (let k = from; k < from + count; k++) batch.put(key(k), Buffer.alloc(length, k % 251));
    await batch.write();
  };
  await write(0, 1_000, 2_000);
  await write(1_000, 1_000, 500);
  fill(parent, 100_000);
  await t.rejects(write(2_000, 1_000, 1_000), { code: "STORE_FULL" });
  t.ok(index.isBroken);
  await t.rejects(index.repair(), { code: "STORE_FULL" }, "not without room");
  t.same(index.get(key(7)), Buffer.alloc(2_000, 7), "rows can still be read");
  empty(parent);
  const listed = index.rows({ gte: key(0), lt: key(3_000) });
  const first = await listed.next(10);
  const repaired = index.repair();
  let reads = 0;
  const progress = { isDone: false };
  void repaired.then(() => (progress.isDone = true));
  while (!progress.isDone) {
    t.same(index.get(key(reads % 2_000))?.length, reads % 2_000 < 1_000 ? 2_000 : 500);
    reads++;
    if (reads === 5) {
      let count = first.length;
      for (let rows = first; rows.length > 0; count += rows.length) rows = await listed.next(5_000);
      t.equal(count, 2_000, "a listing goes on");
      await listed.close();
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await repaired;
  t.ok(reads > 5, `${reads} rows were read meanwhile`);
  t.notOk(index.isBroken);
  t.notOk(existsSync(join(parent, "index.new")));
  for (let k = 2_000; k < 6_000; k += 1_000) await write(k, 1_000, 1_000);
  await index.close();
  const again = await IndexDb.open(parent);
  for (let k = 0; k < 6_000; k++) if (again.get(key(k)) === undefined) t.fail(`row ${k} is gone`);
  await again.close();
});

t.test("a checkpoint that found no room is made later", { skip }, async (t) => {
  const parent = smallDirectory(t);
  const directory = join(parent, "s");
  const store = await Store.open(directory, { create: true });
  for (let k = 0; k < 3_000; k++) store.commit(newFile(store.newIno(), `a${k}`));
  await store.checkpoint();
  for (let k = 0; k < 3_000; k++) store.commit(newFile(store.newIno(), `b${k}`));
  fill(parent, 50_000);
  await t.rejects(store.checkpoint(), { code: "STORE_FULL" });
  t.ok(store.lookup(1, "a17") > 0 && store.lookup(1, "b17") > 0);
  empty(parent);
  store.commit(newFile(store.newIno(), "c"));
  await store.checkpoint();
  t.equal(store.statistics().indexLagBytes, 0);
  await store.close();
  t.same((await checkStore(directory)).problems, []);
  const again = await Store.open(directory);
  t.equal(again.indexRebuilt, false);
  t.equal(again.recovered.bytes, 0, "the index had everything");
  t.ok(again.lookup(1, "a17") > 0 && again.lookup(1, "b17") > 0 && again.lookup(1, "c") > 0);
  await again.close();
});

t.test("names are durable before the files of the old index go", async (t) => {
  const parent = mkdtempSync(join(tmpdir(), "onespool-index-"));
  t.teardown(() => rmSync(parent, { recursive: true, force: true }));
  const index = await IndexDb.open(parent);
  const batch = index.batch();
  batch.put(key(1), Buffer.from("a row"));
  await batch.write();
  const there = (): string[] =>
    ["index", "index.new", "index.gone"].filter((name) => existsSync(join(parent, name)));
  const synced: string[][] = [];
  const { syncDirectory } = systemDisk;
  t.teardown(() => {
    systemDisk.syncDirectory = syncDirectory;
  });
  systemDisk.syncDirectory = (path) => {
    synced.push(there());
    syncDirectory(path);
  };
  await index.repair();
  t.same(synced, [["index", "index.gone"]]);
  t.same(there(), ["index"]);
  t.same(index.get(key(1)), Buffer.from("a row"));
  await index.close();
});

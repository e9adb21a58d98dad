/**
 * A byte that is not what was written, anywhere in the log or the index: it is found, told with the files that it
 * touches, and everything else can be read.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { CheckReport } from "../fs/store/check.ts";
import { checkStore } from "../fs/store/check.ts";
import { segmentPath } from "../fs/store/paths.ts";
import { Store } from "../fs/store/store.ts";
import { onespool } from "./cli-process.ts";
import { contentsOf, randomFrom, readStore, spoil, spoilSegment } from "./store-load.ts";
import {
  differing,
  removeIndex,
  segmentPathsOf,
  segmentsOf,
  StoredMail,
} from "./system/stored-mail.ts";

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
t.setTimeout(240_000);
t.comment(`seed ${seed}: SEED=${seed} node dist/test/damage.test.js repeats this run`);

const long = process.env["ONESPOOL_LONG"] === "1";
const segmentLength = 64 * 1024;

const makeSound = (test: Pick<typeof t, "teardown">, steps: number): Promise<StoredMail> =>
  StoredMail.make(test, seed, steps, segmentLength);

/** The bytes of each file that the report calls lost. */
function lostOf(report: CheckReport): Map<string, Set<number>> {
  const lost = new Map<string, Set<number>>();
  for (const { files } of report.damage) {
    for (const file of files) {
      const name = file.paths[0] ?? "";
      const bytes = lost.get(name) ?? new Set();
      lost.set(name, bytes);
      for (const { offset, length } of file.lost) {
        for (let at = offset; at < offset + length; at++) bytes.add(at);
      }
    }
  }
  return lost;
}

/** What is not lost is what was written, what is lost gives an error. */
async function checkReadable(
  t: { ok(value: unknown, message: string): boolean; fail(message: string): boolean },
  directory: string,
  model: ReadonlyMap<string, Buffer>,
  lost: ReadonlyMap<string, ReadonlySet<number>>,
): Promise<void> {
  const store = await Store.open(directory);
  try {
    for (const [name, content] of model) {
      const ino = store.lookup(1, name);
      const gone = lost.get(name) ?? new Set();
      if (gone.size === 0) {
        if (!store.read(ino, 0, content.length + 1).equals(content))
          t.fail(`${name} is another one`);
        continue;
      }
      for (let at = 0; at < content.length;) {
        const isLost = gone.has(at);
        let end = at;
        while (end < content.length && gone.has(end) === isLost) end++;
        let bytes: Buffer | undefined;
        try {
          bytes = store.read(ino, at, end - at);
        } catch (error) {
          // A segment that is missing cannot be opened.
          const { code } = error as { code?: string };
          if (code !== "STORE_DAMAGED" && code !== "STORE_IO") throw error;
        }
        const right = isLost ? bytes === undefined : bytes?.equals(content.subarray(at, end));
        if (right !== true) t.fail(`${name}, ${at} to ${end}: ${isLost ? "lost" : "whole"}`);
        at = end;
      }
    }
  } finally {
    await store.close();
  }
}

t.test("any byte of any segment", async (t) => {
  const sound = await makeSound(t, 160);
  const random = randomFrom(seed + 1);
  const segments = segmentsOf(sound.store);
  t.ok(segments.length > 3);
  const rounds = long ? 600 : 60;
  let withLoss = 0;
  for (let round = 0; round < rounds; round++) {
    const store = sound.copy("spoilt");
    const damaged = segments[Math.floor(random() * segments.length)] as number;
    const path = segmentPath(store, damaged);
    const { size } = fs.statSync(path);
    // Every byte of the header has its turn, the rest at random.
    const at = round < 33 ? round : Math.floor(random() * size);
    const before = fs.readFileSync(path)[at];
    spoil(path, at, round % 3 === 0 && before !== 0 ? 0 : undefined);
    const report = await checkStore(store);
    const where = `segment ${damaged} at ${at}`;
    const found = report.damage.filter(
      ({ segment, offset, length }) => segment === damaged && offset <= at && offset + length > at,
    );
    if (report.clean || found.length !== 1 || report.damage.length !== 1) {
      t.fail(`${where}: ${JSON.stringify(report.problems)}`);
    }
    if (report.problemCount !== 1) t.fail(`${where}: ${report.problems.join("\n")}`);
    const lost = lostOf(report);
    if ([...lost.values()].some(({ size: count }) => count > 0)) withLoss++;
    await checkReadable(t, store, sound.model, lost);
  }
  t.ok(withLoss > 0, `${withLoss} of ${rounds} bytes were in mail`);
});

t.test("many bytes at once, and a missing segment", async (t) => {
  const sound = await makeSound(t, 160);
  const random = randomFrom(seed + 2);
  for (let round = 0; round < (long ? 40 : 5); round++) {
    const store = sound.copy("spoilt");
    const segments = segmentPathsOf(store);
    for (let count = 0; count < 12; count++) {
      const path = segments[Math.floor(random() * segments.length)] as string;
      const at = Math.floor(random() * fs.statSync(path).size);
      const length = Math.floor(random() * 3000);
      const bytes = fs.readFileSync(path);
      bytes.fill(round % 2 === 0 ? 0 : 0xaa, at, Math.min(at + length, bytes.length));
      fs.writeFileSync(path, bytes);
    }
    if (round > 1) fs.rmSync(segments[1] as string);
    const report = await checkStore(store);
    t.notOk(report.clean);
    await checkReadable(t, store, sound.model, lostOf(report));
  }
});

t.test("any byte of the index: the next start makes it anew", async (t) => {
  const sound = await makeSound(t, 120);
  const random = randomFrom(seed + 3);
  // A start makes tables of the index's log.
  await readStore(sound.store);
  const index = join(sound.store, "index");
  const files = fs.readdirSync(index).filter((name) => !/^LOG|^LOCK$/.test(name));
  t.ok(files.some((name) => name.endsWith(".ldb")));
  for (let round = 0; round < (long ? 300 : 24); round++) {
    const name = files[round % files.length] as string;
    const at = Math.floor(random() * fs.statSync(join(index, name)).size);
    const value = round % 3 === 0 ? 0 : undefined;
    const store = sound.copy("spoilt");
    if (spoil(join(store, "index", name), at, value) === value) continue;
    const again = sound.copy("again", store);
    if (differing(await readStore(store), sound.model).length > 0) t.fail(`${name} at ${at}`);
    const report = await checkStore(again);
    const problems = JSON.stringify([report.problems, report.indexDamage]);
    if (!report.clean || report.indexDamage.length !== 1 || !report.indexRebuilt) {
      t.fail(`${name} at ${at}: ${problems}`);
    }
    if (report.indexDamage[0]?.file !== name) t.fail(`${name} at ${at}: ${problems}`);
  }
  for (const name of files) {
    const store = sound.copy("spoilt");
    fs.rmSync(join(store, "index", name));
    t.same(differing(await readStore(store), sound.model), [], `without ${name}`);
  }
});

t.test("a bad record in a sealed segment", async (t) => {
  const sound = await makeSound(t, 120);
  const { model } = sound;
  const store = sound.copy("spoilt");
  // The header of the first frame.
  spoilSegment(store, 2, 32);
  const opened = await sound.open(store);
  t.same(differing(await contentsOf(opened), model), [], "a store with its index goes on");
  sound.load.run(opened, 20);
  await opened.close();
  t.match(await onespool("fsck", store), {
    code: 4,
    stdout: /^segment 2, offset 32, \d+ bytes: a record is damaged; /m,
  });
  await t.rejects(Store.open(store, { rebuildIndex: true }), {
    code: "STORE_DAMAGED",
    message: /segment 2: .* at offset 32/,
  });
  t.same(differing(await readStore(store), sound.model), [], "the index is there as before");
  removeIndex(store);
  await t.rejects(Store.open(store), { code: "STORE_DAMAGED", message: /segment 2: .* offset 32/ });
  t.match(await onespool("fsck", store), {
    code: 4,
    stdout: /the store cannot be opened: [^]*segment 2, offset 32, \d+ bytes: a record is damaged/,
  });
});

t.test("a torn tail of the last segment is no damage", async (t) => {
  const sound = await makeSound(t, 60);
  const store = sound.copy("spoilt");
  fs.appendFileSync(segmentPathsOf(store).at(-1) as string, Buffer.from("half a frame"));
  const report = await checkStore(store);
  t.match(report, { clean: true, damage: [], tornBytes: 12 });
});

t.test("a file in the place of the index: the next start makes it anew", async (t) => {
  const sound = await makeSound(t, 30);
  for (const isChecked of [true, false]) {
    const store = sound.copy("spoilt");
    removeIndex(store);
    fs.writeFileSync(join(store, "index"), "no index");
    if (isChecked) t.match(await checkStore(store), { clean: true, indexRebuilt: true });
    t.same(differing(await readStore(store), sound.model), []);
  }
});

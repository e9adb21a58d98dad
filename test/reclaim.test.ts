/** Cleaning of segments: its parts, what it leaves alone, and what a crash, damage or a loss in the middle of it means. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { S_IFREG } from "../fs/attributes.ts";
import { checkStore } from "../fs/store/check.ts";
import type { StoreOptions } from "../fs/store/opening.ts";
import { chunksOf } from "../fs/store/records/chunks.ts";
import { crc32c } from "../fs/store/records/format.ts";
import { Pace } from "../fs/store/reclaim/pace.ts";
import { Survivors } from "../fs/store/reclaim/survivors.ts";
import { trim } from "../fs/store/reclaim/trim.ts";
import { BATCH_SEGMENTS_MAX, chooseVictims } from "../fs/store/reclaim/victims.ts";
import { firstMissing, hasSegment, segmentSet, union } from "../fs/store/records/segment-set.ts";
import { SegmentUse } from "../fs/store/state/segment-use.ts";
import { Store } from "../fs/store/store.ts";
import { ReclaimModel } from "./reclaim-model.ts";
import { crashCopy } from "./system/crash-copy.ts";
import { between, randomFrom } from "./movers.ts";

t.setTimeout(120_000);

const time = { sec: 1_700_000_000, nsec: 0 };
const tiny = { segmentLength: 5_000 };

async function newStore(
  test: Pick<typeof t, "teardown">,
  options: StoreOptions = tiny,
): Promise<Store> {
  const directory = fs.mkdtempSync(join(tmpdir(), "onespool-reclaim-"));
  test.teardown(() => fs.rmSync(directory, { recursive: true, force: true }));
  return Store.open(join(directory, "s"), { ...options, create: true });
}

function make(store: Store, name: string, bytes: Buffer): { ino: number; unit: number } {
  const ino = store.newIno();
  const rest = { uid: 1, gid: 2, nlink: 1, rdev: 0, parent: 0, target: Buffer.alloc(0) };
  const unit = store.writeUnit([bytes]);
  store.commit([
    { type: "inode", ino, mode: S_IFREG | 0o600, ...rest, atime: time, mtime: time, ctime: time },
    { type: "name", parent: 1, name, ino, fileType: S_IFREG },
    {
      type: "splice",
      ino,
      offset: 0,
      remove: 0,
      extents: [{ unit, offset: 0, length: bytes.length }],
    },
  ]);
  return { ino, unit };
}

function remove(store: Store, name: string): void {
  const ino = store.lookup(1, name);
  const size = store.inode(ino)?.size ?? 0;
  store.commit([
    { type: "unname", parent: 1, name },
    { type: "attributes", ino, nlink: 0 },
    { type: "splice", ino, offset: 0, remove: size, extents: [] },
    { type: "dropInode", ino },
  ]);
}

function isOverBound(store: Store): boolean {
  const { logBytes, logBytesMax } = store.reclaimer.status();
  return logBytes > logBytesMax;
}

function segments(store: Store): string[] {
  return fs.readdirSync(join(store.directory, "log")).filter((name) => name.endsWith(".seg"));
}

t.test("a unit is trimmed to what is referenced, with checksums of its own", async (t) => {
  const data = Buffer.from(Array.from({ length: 300 }, (_, k) => k % 251));
  const chunks = chunksOf([data], [100, 100, 100]);
  const whole = trim(chunks, [0, 300], data);
  t.same(whole?.chunks, chunks, "one that is referenced as a whole stays as it is");
  const trimmed = trim(chunks, [50, 20, 150, 120], data);
  t.same(
    trimmed?.chunks.filter((_, k) => k % 3 !== 2),
    [50, 20, 150, 50, 200, 70],
  );
  for (const [k, part] of (trimmed?.parts ?? []).entries()) {
    t.equal(crc32c(part), trimmed?.chunks[k * 3 + 2]);
  }
  const bytes = Buffer.concat(trimmed?.parts ?? []);
  t.ok(bytes.equals(Buffer.concat([data.subarray(50, 70), data.subarray(150, 270)])));
  const near = trim(chunks, [10, 5, 20, 5], data);
  t.same(near?.chunks.slice(0, 2), [10, 15], "a gap that is shorter than a chunk's entry stays");
  const again = trim(trimmed?.chunks ?? [], [60, 5, 210, 10], bytes);
  t.same(
    again?.chunks.filter((_, k) => k % 3 !== 2),
    [60, 5, 210, 10],
    "it can be trimmed again",
  );
  t.equal(trim(trimmed?.chunks ?? [], [0, 10], bytes), undefined, "bytes that are gone");
  const damaged = Buffer.from(data);
  damaged[55] = 0;
  t.equal(
    trim(chunks, [60, 5], damaged),
    undefined,
    "what does not fit its checksum gets no new one",
  );
  t.ok(trim(chunks, [120, 5], damaged), "damage in a part that nobody references does not matter");
});

t.test("victims are those that give back most for their cost, older ones first", async (t) => {
  const options = { liveMetadataPart: 0.5, deadPartMin: 0.1, batchLiveBytesMax: 1000 };
  const of = (segment: number, liveBytes: number): Parameters<typeof chooseVictims>[0][number] => {
    return { segment, length: 1000, unitBytes: 900, liveBytes };
  };
  t.same(chooseVictims([], options), []);
  t.same(chooseVictims([of(1, 900), of(2, 880)], options), [], "hardly anything is dead");
  t.same(chooseVictims([of(1, 700), of(9, 0)], options), [1, 9]);
  const small = { ...options, batchLiveBytesMax: 100 };
  t.same(chooseVictims([of(1, 800), of(9, 100)], small).length, 1, "a batch has a limit");
  t.same(chooseVictims([of(5, 400), of(6, 400), of(7, 400)], small), [5], "the oldest of equals");
});

t.test(
  "of very many segments the same victims are chosen as by putting all in order",
  async (t) => {
    const random = randomFrom(5);
    const options = { liveMetadataPart: 0.5, deadPartMin: 0.1, batchLiveBytesMax: 9_000 };
    for (let round = 0; round < 50; round++) {
      const all = Array.from({ length: between(random, 1, 200) }, (_, k) => {
        const unitBytes = between(random, 0, 1000);
        return {
          segment: k + 1,
          length: 1000,
          unitBytes,
          liveBytes: between(random, 0, unitBytes),
        };
      });
      const live = (one: (typeof all)[number]): number =>
        (one.liveBytes + (one.length - one.unitBytes) * 0.5) / one.length;
      const score = (one: (typeof all)[number]): number =>
        ((1 - live(one)) * (all.length - one.segment + 1)) / (1 + live(one));
      const worth = all.filter((one) => 1 - live(one) >= 0.1).sort((a, b) => score(b) - score(a));
      const wanted = worth.slice(0, BATCH_SEGMENTS_MAX).map(({ segment }) => segment);
      const chosen = chooseVictims(all, options);
      const fitting = wanted.slice(0, chosen.length).sort((a, b) => a - b);
      t.same(chosen, fitting);
      t.equal(chosen.length > 0, worth.length > 0);
    }
    const many = Array.from({ length: 300_000 }, (_, k) => {
      return { segment: k + 1, length: 1000, unitBytes: 1000, liveBytes: 0 };
    });
    t.equal(chooseVictims(many, options).length, BATCH_SEGMENTS_MAX, "any number of them");
  },
);

t.test("a deletion record is needed as long as what it deletes may be in the log", async (t) => {
  const uses = [1, 2, 5, 9].map((segment) => new SegmentUse(segment, segment * 10, segment));
  const all = new Survivors(uses, new Set());
  t.equal(all.mayHoldInode(15, 2), true, "inode 15 may be in segment 2");
  t.equal(all.mayHoldInode(25, 2), false, "inode 25 came later than segment 2");
  t.equal(all.mayHoldInode(25, 4), false, "segments 3 and 4 are gone");
  t.equal(all.mayHoldInode(25, 5), true);
  t.equal(new Survivors(uses, new Set([5])).mayHoldInode(25, 5), false, "the last one goes");
  t.equal(all.mayHoldPending(4, 7), true);
  t.equal(all.mayHoldPending(4, 2), false);
});

t.test("sets of segments are what a set of their numbers is", async (t) => {
  const random = randomFrom(6);
  for (let round = 0; round < 200; round++) {
    const some = (): number[] =>
      Array.from({ length: between(random, 0, 30) }, () => between(random, 1, 60));
    const [one, other] = [some(), some()];
    const both = union(segmentSet(one), segmentSet(other));
    t.same(both, segmentSet([...one, ...other]));
    const numbers = new Set([...one, ...other]);
    for (let k = 0; k < 63; k++) {
      if (hasSegment(both, k) !== numbers.has(k)) t.fail(`${k} in ${both.join()}`);
    }
  }
});

t.test("sets of segments", async (t) => {
  const set = segmentSet([7, 1, 2, 3, 9]);
  t.same(set, [1, 3, 7, 1, 9, 1]);
  t.same(
    [0, 1, 3, 4, 7, 8, 9, 10].filter((segment) => hasSegment(set, segment)),
    [1, 3, 7, 9],
  );
  t.same(union(set, segmentSet([8, 4])), [1, 4, 7, 3]);
  t.same(union([], []), []);
  t.equal(firstMissing([4, 5, 6, 8], set, 9), undefined);
  t.equal(firstMissing([4, 6, 8], set, 9), 5);
  t.equal(firstMissing([4, 5, 6, 8, 10], set, 11), 11);
  t.equal(firstMissing([2], [], 2), 1);
});

t.test("the pace follows what others write, and time", async (t) => {
  const pace = new Pace(0, 0);
  t.equal(pace.allows(0, 0, 0.1), false, "nothing was earned yet");
  t.equal(pace.allows(1000, 0, 0.1), true, "others have written");
  pace.spend(50_000);
  t.equal(pace.allows(1000, 0, 0.1), false);
  t.equal(pace.allows(1000, 0, 1), true, "the bound is reached");
  t.equal(pace.allows(1000, 100, 0.1), true, "an idle tenth of a second");
});

t.test("a cleaned store is smaller, and its index can be made anew", async (t) => {
  const store = await newStore(t);
  for (let k = 0; k < 40; k++) make(store, `f${k}`, Buffer.alloc(1000, k));
  for (let k = 0; k < 40; k++) if (k % 10 !== 0) remove(store, `f${k}`);
  const before = segments(store).length;
  const report = await store.reclaim({ now: true });
  t.ok(report.segments > 5, `${report.segments} segments went`);
  t.equal(segments(store).length < before / 2, true);
  t.same(report.kept, []);
  const { directory } = store;
  await store.close();
  for (const rebuildIndex of [false, true]) {
    const check = await checkStore(directory, { rebuildIndex });
    t.same(check.problems, []);
  }
  const again = await Store.open(directory, { ...tiny, rebuildIndex: true });
  for (let k = 0; k < 40; k++) {
    const ino = again.lookup(1, `f${k}`);
    if (k % 10 !== 0) t.equal(ino, 0);
    else t.ok(again.read(ino, 0, 2000).equals(Buffer.alloc(1000, k)));
  }
  await again.close();
});

t.test(
  "a unit that loses its last reference while its segment is cleaned stays dead",
  async (t) => {
    const store = await newStore(t);
    const names = Array.from({ length: 30 }, (_, k) => `f${k}`);
    for (const [k, name] of names.entries()) make(store, name, Buffer.alloc(1500, k));
    const cleaning = store.reclaim({ now: true, deadPartMin: 0 });
    let died = 0;
    while (store.reclaimer.status().state === "cleaning" && died < names.length) {
      await nextTurn();
      remove(store, names[died++] as string);
    }
    await cleaning;
    t.ok(died > 2, `${died} files were removed meanwhile`);
    const units = names.length - died;
    t.equal(store.statistics().units, units);
    const { directory } = store;
    await store.close();
    for (const rebuildIndex of [false, true]) {
      const report = await checkStore(directory, { rebuildIndex });
      t.same(report.problems, []);
      t.equal(report.units, units);
    }
  },
);

t.test("a damaged unit keeps its segment, and all else is cleaned", async (t) => {
  const store = await newStore(t);
  for (let k = 0; k < 30; k++) make(store, `f${k}`, Buffer.alloc(1000, 65 + k));
  for (let k = 1; k < 30; k += 2) remove(store, `f${k}`);
  await store.checkpoint();
  const path = join(store.directory, "log", "00000002.seg");
  const bytes = fs.readFileSync(path);
  // Of a file that is there: even numbers were kept.
  const letter = [...Array(30).keys()].find(
    (k) => k % 2 === 0 && bytes.includes(Buffer.alloc(900, 65 + k)),
  ) as number;
  const at = bytes.indexOf(Buffer.alloc(900, 65 + letter));
  const fd = fs.openSync(path, "r+");
  fs.writeSync(fd, "?", at + 10);
  fs.closeSync(fd);
  const report = await store.reclaim({ now: true });
  t.equal(report.kept.length, 1);
  t.match(
    report.kept[0],
    /^unit \d+: the bytes of segment 2 from \d+ on do not fit their checksum/,
  );
  t.ok(segments(store).includes("00000002.seg"), "it is there");
  t.ok(report.segments > 3, "others are not");
  for (let k = 0; k < 30; k += 2) {
    const ino = store.lookup(1, `f${k}`);
    if (k === letter) t.throws(() => store.read(ino, 0, 1000), { code: "STORE_DAMAGED" });
    else t.ok(store.read(ino, 0, 1000).equals(Buffer.alloc(1000, 65 + k)));
  }
  await store.close();
});

t.test("a segment that was lost is told from one that was cleaned", async (t) => {
  const store = await newStore(t);
  for (let k = 0; k < 30; k++) make(store, `f${k}`, Buffer.alloc(1000, k));
  for (let k = 0; k < 20; k++) remove(store, `f${k}`);
  await store.reclaim({ now: true });
  const { directory } = store;
  await store.close();
  const left = segments(store);
  t.ok(Number.parseInt(left[0] as string, 10) > 1, "the first ones are gone");
  const lost = left[1] as string;
  fs.rmSync(join(directory, "log", lost));
  const number = Number.parseInt(lost, 10);
  await t.rejects(Store.open(directory, { ...tiny, rebuildIndex: true }), {
    code: "STORE_DAMAGED",
    message: `the log has no segment ${number}`,
  });
});

t.test("a cleaning that a crash ends anywhere loses nothing", async (t) => {
  const store = await newStore(t);
  const model = new ReclaimModel(store, 77);
  for (let k = 0; k < 250; k++) model.step();
  const copies: string[] = [];
  const cleaning = store.reclaim({ now: true, deadPartMin: 0 });
  const parent = join(store.directory, "..");
  for (let k = 0; k < 400 && store.reclaimer.status().state === "cleaning"; k++) {
    await nextTurn();
    if (k % 3 !== 0) continue;
    const copy = join(parent, `copy${copies.length}`);
    crashCopy(store.directory, copy);
    copies.push(copy);
  }
  await cleaning;
  t.ok(copies.length > 5, `${copies.length} crashes`);
  for (const [k, copy] of copies.entries()) {
    const report = await checkStore(copy, { rebuildIndex: k % 2 === 0 });
    if (!report.clean) t.same(report.problems, [], `fsck after crash ${k}`);
    model.store = await Store.open(copy, tiny);
    model.check();
    await model.store.reclaim({ now: true, deadPartMin: 0 });
    model.check();
    await model.store.close();
    fs.rmSync(copy, { recursive: true });
  }
  await store.close();
});

t.test("what a crash leaves of removed segments goes at the next start", async (t) => {
  const store = await newStore(t);
  for (let k = 0; k < 30; k++) make(store, `f${k}`, Buffer.alloc(1000, k));
  for (let k = 0; k < 29; k++) remove(store, `f${k}`);
  const { directory } = store;
  const old = segments(store).slice(0, 3);
  const saved = old.map((name) => fs.readFileSync(join(directory, "log", name)));
  await store.reclaim({ now: true, deadPartMin: 0 });
  await store.close();
  for (const rebuildIndex of [false, true]) {
    // The last of them alone, then two: what is left must not come to life.
    for (const k of rebuildIndex ? [0, 2] : [1]) {
      fs.writeFileSync(join(directory, "log", old[k] as string), saved[k] as Buffer);
    }
    const again = await Store.open(directory, { ...tiny, rebuildIndex });
    t.notOk(segments(again).some((name) => old.includes(name)));
    t.equal(again.statistics().files, 1);
    t.equal(again.lookup(1, "f0"), 0);
    await again.close();
    t.same((await checkStore(directory)).problems, []);
  }
});

t.test("who deletes much and writes nothing more gets the space back", async (t) => {
  const store = await newStore(t, { segmentLength: 256 << 10, reclaim: true });
  for (let k = 0; k < 40; k++) make(store, `mailbox${k}`, Buffer.alloc(60_000, k));
  await store.durable();
  const before = store.reclaimer.status();
  t.equal(before.state, "resting");
  for (let k = 0; k < 30; k++) remove(store, `mailbox${k}`);
  const { logBytes, logBytesMax } = store.reclaimer.status();
  t.ok(logBytes > logBytesMax, "what was deleted has lowered the bound below the log");
  const end = performance.now() + 20_000;
  while (isOverBound(store) && performance.now() < end) await pause(10);
  t.notOk(isOverBound(store), "the log follows");
  await store.close();
});

t.test("cleaning can be stopped, and goes on when it is asked to", async (t) => {
  const store = await newStore(t);
  for (let k = 0; k < 60; k++) make(store, `f${k}`, Buffer.alloc(1000, k));
  for (let k = 0; k < 55; k++) remove(store, `f${k}`);
  const cleaning = store.reclaim({ now: true });
  t.equal(store.reclaimer.status().state, "cleaning");
  await store.reclaimer.stop();
  await cleaning;
  t.equal(store.reclaimer.status().state, "off");
  const left = segments(store).length;
  store.reclaimer.start();
  for (let k = 0; k < 2000 && store.reclaimer.status().state !== "resting"; k++) await nextTurn();
  await store.reclaim({ now: true });
  t.ok(segments(store).length < left, "segments went");
  await store.close();
  await t.rejects(store.reclaim({ now: true }), { code: "STORE_IO" });
});

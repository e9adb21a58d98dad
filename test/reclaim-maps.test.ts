/**
 * Snapshots of large maps, which cleaning writes in several commits while the file goes on changing: with a file of some
 * dozens of extents, and a few of them in a commit. `SEED=n` repeats a run; ONESPOOL_LONG=1 makes it longer.
 */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import t from "tap";
import { salvage } from "../fs/salvage/salvage.ts";
import type { Change } from "../fs/store/records/change.ts";
import { checkStore } from "../fs/store/check.ts";
import { Store } from "../fs/store/store.ts";
import { between, type Random, randomFrom } from "./movers.ts";
import { fsck, Life, STORE } from "./system/cut-life.ts";
import { pictureOf } from "./system/naive-store.ts";
import { cutEverywhere, type Workload } from "./system/store-cuts.ts";
import { CUT_CHOICES, SimulatedMachine } from "./system/simulated-machine.ts";
import { Scene } from "./system/store-workloads.ts";

t.setTimeout(300_000);
// A log that goes on in another segment, and starts that make the index anew, tell so.
process.removeAllListeners("warning");

const isLong = process.env["ONESPOOL_LONG"] === "1";
const SEED = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
const HISTORIES = isLong ? 2_000 : 40;
t.comment(`seed ${SEED}: SEED=${SEED} node dist/test/reclaim-maps.test.js repeats this run`);

const EXTENTS_AT_ONCE = 4;
const EXTENTS = 40;
const options = {
  segmentLength: 2_000,
  reclaimStep: { extentsMax: EXTENTS_AT_ONCE, stepMs: 0 },
};

/** What cleaning has committed of maps, as it goes. */
class Pages {
  /** Extents in each commit. */
  readonly extents: number[] = [];
  /** Snapshots whose pages began in an earlier commit. */
  series = 0;
  /** Batches of segments that may go. */
  batches = 0;

  constructor(store: Store) {
    const commit = store.commit.bind(store);
    store.commit = (changes, claim) => {
      commit(changes, claim);
      this.#note(changes);
    };
  }

  #note(changes: readonly Change[]): void {
    let extents = 0;
    for (const change of changes) {
      if (change.type === "map") extents += change.extents.length;
      if (change.type === "inode" && change.mapFrom !== undefined) this.series++;
      if (change.type === "removed") this.batches++;
    }
    if (changes.some(({ type }) => type === "map")) this.extents.push(extents);
  }
}

type Check = Pick<typeof t, "equal" | "same">;

interface Large {
  readonly life: Life;
  readonly scene: Scene;
  /** The file with many extents. */
  readonly ino: number;
}

/** In a store whose segments are all worth cleaning. */
async function large(life: Life): Promise<Large> {
  const scene = new Scene(life);
  const ino = scene.create("large");
  const other = scene.create("other");
  for (let k = 0; k < EXTENTS; k++) {
    scene.append(ino, 20 + ((k * 37) % 50));
    if (k % 8 === 0) scene.share(ino, k, 30, other);
    if (k % 5 === 0) scene.append(other, 150);
  }
  scene.setXattr(ino, "user.a", Buffer.from("value"));
  scene.splice(other, 0, scene.size(other) - 20, []);
  await life.store.checkpoint();
  return { life, scene, ino };
}

/** Cleans everything; behind each commit of pages others have their turn. */
async function clean({ life }: Large, meanwhile: (pages: Pages) => void): Promise<Pages> {
  const pages = new Pages(life.store);
  const done = life.store.reclaim({ now: true, deadPartMin: 0 }).then(() => true);
  let seen = 0;
  while (!(await Promise.race([done, nextTurn()]))) {
    if (pages.extents.length > seen) meanwhile(pages);
    seen = pages.extents.length;
  }
  return pages;
}

/** An index that is made from the log, gaps and all, says what the model says. */
async function matches(t: Check, life: Life, what: string): Promise<boolean> {
  await life.reopen({ rebuildIndex: true });
  const found = await pictureOf(life.store);
  await life.store.close();
  const { problems } = await fsck(life.machine, false);
  await life.open();
  const { problems: rebuilt } = await fsckOfCopy(life);
  const isRight = found === life.model.picture() && problems.length + rebuilt.length === 0;
  if (!isRight) {
    t.equal(found, life.model.picture(), what);
    t.same([...problems, ...rebuilt], [], what);
  }
  return isRight;
}

async function fsckOfCopy(life: Life): Promise<{ problems: readonly string[] }> {
  await life.store.durable();
  return fsck(life.machine.restarted("killed"), true);
}

/** A change of the large file somewhere: before, behind and across where the pages end. */
function change({ life, scene, ino }: Large, random: Random): void {
  const size = scene.size(ino);
  const end = life.store.internals().state.mapPrefix?.bytes ?? 0;
  const near = Math.min(size, Math.max(0, end + between(random, -3, 3)));
  const offset = random() < 0.4 ? near : between(random, 0, size);
  const most = random() < 0.2 ? size - offset : Math.min(size - offset, 60);
  const remove = random() < 0.5 ? 0 : between(random, 0, most);
  const added = random() < 0.4 ? [] : scene.unit(between(random, 1, 40));
  const kind = random();
  if (kind < 0.55) scene.splice(ino, offset, remove, added);
  else if (kind < 0.65) scene.deliver([ino], between(random, 0, 9), between(random, 1, 30));
  else if (kind < 0.72) scene.cut(ino, Math.max(offset, Math.floor(size / 3)));
  else if (kind < 0.77) scene.splice(ino, offset, 0, [{ unit: 0, offset: 0, length: 9 }]);
  else if (kind < 0.85) scene.setXattr(ino, "user.a", random() < 0.5 ? undefined : scene.bytes(9));
  else if (kind < 0.9) scene.splice(ino, size, 0, life.store.extents(ino, offset, 50));
  else if (kind < 0.93) scene.splice(ino, 0, size, added);
  else scene.append(ino, 30);
}

async function born(): Promise<Large> {
  const life = new Life(new SimulatedMachine(), options);
  await life.open();
  return large(life);
}

t.test("no commit of cleaning has more of a file's extents than it may", async (t) => {
  const all = await born();
  const pages = await clean(all, () => undefined);
  t.equal(pages.series, 1);
  t.ok(pages.extents.length >= EXTENTS / EXTENTS_AT_ONCE, `${pages.extents.length} commits`);
  // Of other files there is one extent, in a commit of its own or with others.
  t.ok(Math.max(...pages.extents) <= EXTENTS_AT_ONCE + 2);
  t.ok(await matches(t, all.life, "as before"));
  await all.life.store.close();
});

t.test(
  "a large file that changes while it is written down is as the changes leave it",
  async (t) => {
    let series = 0;
    let changes = 0;
    for (let k = 0; k < HISTORIES; k++) {
      const random = randomFrom(SEED + k);
      const all = await born();
      const often = random();
      for (let round = 0; round < 2; round++) {
        const pages = await clean(all, () => {
          if (random() >= often) return;
          for (let n = between(random, 1, 2); n > 0; n--) change(all, random);
          changes++;
        });
        series += pages.series;
        if (!(await matches(t, all.life, `SEED=${SEED + k}, round ${round}`))) return;
        while (all.scene.size(all.ino) < 900) all.scene.append(all.ino, 20);
        await all.life.store.checkpoint();
      }
      await all.life.store.close();
    }
    t.comment(`${series} snapshots in several commits, ${changes} times changed meanwhile`);
    t.ok(series > HISTORIES);
    t.ok(changes > HISTORIES);
  },
);

t.test("a snapshot that is given up at any commit changes nothing, and comes again", async (t) => {
  let stops = 0;
  for (let at = 1; at <= EXTENTS / EXTENTS_AT_ONCE; at++) {
    const random = randomFrom(SEED + at);
    const all = await born();
    const pages = await clean(all, ({ extents }) => {
      if (extents.length === at) {
        all.life.store.reclaimer.stop().catch(() => undefined);
        change(all, random);
      }
    });
    if (pages.series === 0) stops++;
    if (!(await matches(t, all.life, `given up at ${at}`))) return;
    await clean(all, () => undefined);
    if (!(await matches(t, all.life, `cleaned again after ${at}`))) return;
    await all.life.store.close();
  }
  t.ok(stops > 3, `${stops} were given up`);
});

t.test("pages are kept as long as their snapshot is", async (t) => {
  const all = await born();
  const { life, scene, ino } = all;
  for (let round = 0; round < 30; round++) {
    const pages = new Pages(life.store);
    const done = life.store.reclaim({ now: true, deadPartMin: 0 });
    // One batch only: of the segments of a snapshot some go and some stay.
    while (pages.batches === 0) await nextTurn();
    await Promise.all([life.store.reclaimer.stop(), done]);
    if (!(await matches(t, life, `after ${round} batches`))) return;
    scene.append(ino, 30);
    scene.splice(ino, 0, 30, []);
    await life.store.checkpoint();
  }
  await life.store.close();
});

t.test("pages of an attempt that was given up do no harm", async (t) => {
  const all = await born();
  const { life, scene, ino } = all;
  await clean(all, () => undefined);
  const { state } = life.store.internals();
  /** The extents [from, to) of the file as it is; to its end, if nothing is said. */
  const page = (from: number, to?: number): Change => {
    const all = life.store.extents(ino, 0, scene.size(ino));
    const offset = all.slice(0, from).reduce((sum, { length }) => sum + length, 0);
    return { type: "map", ino, offset, extents: all.slice(from, to), last: to === undefined };
  };
  life.store.commit([page(0, 12)]);
  const mapFrom = state.place;
  scene.splice(ino, 3, 40, scene.unit(5));
  life.store.commit([page(0, 9)]);
  // Across the end of what the first attempt said.
  life.store.commit([page(9, 15)]);
  scene.append(ino, 20);
  const { bytes: _, xattrs, ...attributes } = life.model.inode(ino);
  // As after a move of the log's end, which leaves the pages behind the place that is named.
  const snapshot: Change[] = [{ type: "inode", ...attributes, mapFrom }];
  for (const [name, value] of xattrs) snapshot.push({ type: "xattr", ino, name, value });
  life.store.commit([...snapshot, page(15)]);
  t.ok(await matches(t, life, "made anew"));
  await life.store.close();
});

t.test("a file that is deleted while it is written down stays deleted", async (t) => {
  for (const at of [1, 3, 7]) {
    const all = await born();
    const { scene, ino } = all;
    const pages = await clean(all, ({ extents }) => {
      if (extents.length !== at) return;
      scene.unlink({ parent: 1, name: "large", ino, fileType: 0o100000 });
    });
    t.equal(pages.series, 0);
    t.ok(await matches(t, all.life, `deleted at ${at}`));
    await clean(all, () => undefined);
    t.ok(await matches(t, all.life, `deleted at ${at}, cleaned again`));
    t.equal(all.life.store.inode(ino), undefined);
    await all.life.store.close();
  }
});

t.test("a snapshot goes on when a part of it comes to stand in another segment", async (t) => {
  let moved = 0;
  for (let at = 1; at <= EXTENTS / EXTENTS_AT_ONCE; at++) {
    const random = randomFrom(SEED + at);
    const all = await born();
    const { power } = all.life.machine;
    let isMoved = false;
    const pages = await clean(all, ({ extents }) => {
      if (random() < 0.3) change(all, random);
      // The next sync is one that cleaning waits for, at the end of a segment.
      if (extents.length === at) {
        power.failAt({ call: "fdatasync", code: "EIO", pathEnd: ".seg", count: 1 });
        process.once("warning", ({ message }) => {
          isMoved = message.startsWith("the log goes on in segment");
        });
      }
    });
    power.heal();
    await nextTurn();
    process.removeAllListeners("warning");
    if (isMoved && pages.series > 0) moved++;
    if (!(await matches(t, all.life, `moved at ${at}`))) return;
    await clean(all, () => undefined);
    if (!(await matches(t, all.life, `moved at ${at} and cleaned again`))) return;
    await all.life.store.close();
  }
  t.ok(moved > 3, `${moved} were moved`);
});

/** Cleaned twice, with changes meanwhile that depend on nothing but the commits. */
function cutWorkload(seed: number): Workload {
  return {
    name: `maps-${seed}`,
    options,
    run: async (life) => {
      const all = await large(life);
      const random = randomFrom(seed);
      await clean(all, () => change(all, random));
      await life.store.durable();
      await clean(all, ({ extents }) => {
        if (extents.length === 3) life.store.reclaimer.stop().catch(() => undefined);
      });
      await clean(all, () => undefined);
    },
  };
}

t.test("snapshots in several commits survive power cuts", async (t) => {
  let cuts = 0;
  for (let k = 0; k < (isLong ? 40 : 3); k++) {
    const seed = SEED + k * 100;
    const random = randomFrom(seed + 1);
    const result = await cutEverywhere(cutWorkload(seed), {
      points: (count) => Array.from({ length: isLong ? 100 : 25 }, () => between(random, 1, count)),
      choices: (point) => ["killed", CUT_CHOICES[point % CUT_CHOICES.length] ?? "dropped", point],
      rebuilds: true,
    });
    cuts += result.cuts;
  }
  t.ok(cuts > 200, `${cuts} cuts`);
});

t.test("salvage puts files together of pages that stand before their snapshot", async (t) => {
  let series = 0;
  for (let k = 0; k < 6; k++) {
    const random = randomFrom(SEED + k);
    const all = await born();
    const { life } = all;
    const pages = await clean(all, () => {
      if (random() < 0.5) change(all, random);
    });
    series += pages.series;
    await life.store.durable();
    const directory = fs.mkdtempSync(join(tmpdir(), "onespool-maps-"));
    t.teardown(() => fs.rmSync(directory, { recursive: true, force: true }));
    copyStore(life, directory);
    const target = join(directory, "new");
    const { damage, found } = await salvage(join(directory, "s"), target);
    t.strictSame({ damage, found }, { damage: [], found: [] });
    t.same((await checkStore(target)).problems, []);
    t.same((await checkStore(target, { rebuildIndex: true })).problems, []);
    const store = await Store.open(target);
    const ino = store.lookup(1, "large");
    const salvaged = store.inode(ino);
    const wanted = life.model.inode(all.ino);
    t.ok(store.read(ino, 0, wanted.bytes.length + 1).equals(wanted.bytes), `SEED=${SEED + k}`);
    t.same([salvaged?.mode, salvaged?.uid], [wanted.mode, wanted.uid]);
    // What it is now, it is also when all that can be cleaned away is.
    await store.reclaim({ now: true, deadPartMin: 0 });
    await store.close();
    const again = await Store.open(target, { rebuildIndex: true });
    t.ok(again.read(ino, 0, wanted.bytes.length + 1).equals(wanted.bytes));
    await again.close();
    await life.store.close();
  }
  t.ok(series > 3, `${series} of them`);
});

/** Without the index. */
function copyStore(life: Life, directory: string): void {
  const { disk } = life.machine;
  const to = join(directory, "s");
  fs.mkdirSync(join(to, "log"), { recursive: true });
  const paths = ["format", ...disk.list(`${STORE}/log`).map((name) => `log/${name}`)];
  for (const path of paths) {
    const fd = disk.open(`${STORE}/${path}`, "r");
    const bytes = Buffer.alloc(disk.length(`${STORE}/${path}`));
    disk.read(fd, bytes, 0, bytes.length, 0);
    disk.close(fd);
    fs.writeFileSync(join(to, path), bytes);
  }
}

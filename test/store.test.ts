/**
 * The store on a real directory: against a naive model over reopening, index rebuilds, crashes and cut
 * logs; damage; one process at a time. `FC_SEED=n` repeats a run.
 */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import t from "tap";
import type { Change, Extent } from "../fs/store/records/change.ts";
import { checkStore } from "../fs/store/check.ts";
import { StoreError } from "../fs/store/errors.ts";
import { Store } from "../fs/store/store.ts";

const seed = process.env["FC_SEED"] === undefined ? Date.now() : Number(process.env["FC_SEED"]);
t.setTimeout(300_000);
t.comment(`seed ${seed}: FC_SEED=${seed} repeats this run`);

const now = { sec: 1_700_000_000, nsec: 5 };

function scratch(test: Pick<typeof t, "teardown">, name: string): string {
  const directory = fs.mkdtempSync(join(tmpdir(), `onespool-${name}-`));
  test.teardown(() => fs.rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function create(store: Store, name: string): Change[] {
  const ino = store.newIno();
  const target = Buffer.alloc(0);
  return [
    {
      type: "inode",
      ino,
      mode: 0o100600,
      uid: 1,
      gid: 2,
      nlink: 1,
      rdev: 0,
      atime: now,
      mtime: now,
      ctime: now,
      parent: 0,
      target,
    },
    { type: "name", parent: 1, name, ino, fileType: 0o100000 },
  ];
}

/** Contents by name: what the store must hold. */
type Model = Map<string, Buffer>;

function contents(store: Store, names: Iterable<string>): Record<string, string | null> {
  const found: Record<string, string | null> = {};
  for (const name of names) {
    const ino = store.lookup(1, name);
    found[name] = ino === 0 ? null : store.read(ino, 0, 1 << 24).toString("latin1");
  }
  return found;
}

function expected(model: Model, names: Iterable<string>): Record<string, string | null> {
  const found: Record<string, string | null> = {};
  for (const name of names) found[name] = model.get(name)?.toString("latin1") ?? null;
  return found;
}

const NAMES = ["a", "b", "c", "d", "e"];

type Step =
  | { kind: "splice"; name: string; at: number; remove: number; bytes: number }
  | { kind: "share"; from: string; name: string; at: number; length: number }
  | { kind: "deliver"; names: string[]; own: number; shared: number }
  | { kind: "unlink"; name: string }
  | { kind: "checkpoint" }
  | { kind: "reopen" }
  | { kind: "rebuild" };

const name = fc.constantFrom(...NAMES);
const part = fc.double({ min: 0, max: 1, noNaN: true });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("splice" as const),
      name,
      at: part,
      remove: fc.nat(400),
      bytes: fc.nat(3000),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("share" as const),
      from: name,
      name,
      at: part,
      length: fc.integer({ min: 1, max: 2000 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("deliver" as const),
      names: fc.uniqueArray(name, { minLength: 1 }),
      own: fc.nat(60),
      shared: fc.integer({ min: 1, max: 5000 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("unlink" as const), name }) },
  { weight: 2, arbitrary: fc.constant({ kind: "checkpoint" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "reopen" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "rebuild" as const }) },
);

let fill = 0;

function fresh(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let k = 0; k < length; k++) bytes[k] = 97 + ((fill += 7) % 23);
  return bytes;
}

function ensure(store: Store, model: Model, wanted: string): number {
  const ino = store.lookup(1, wanted);
  if (ino !== 0) return ino;
  store.commit(create(store, wanted));
  model.set(wanted, Buffer.alloc(0));
  return store.lookup(1, wanted);
}

function spliceModel(model: Model, of: string, at: number, remove: number, bytes: Buffer): void {
  const old = model.get(of) as Buffer;
  model.set(of, Buffer.concat([old.subarray(0, at), bytes, old.subarray(at + remove)]));
}

async function run(store: Store, model: Model, steps: readonly Step[]): Promise<Store> {
  let open = store;
  for (const s of steps) {
    switch (s.kind) {
      case "splice": {
        const ino = ensure(open, model, s.name);
        const size = (model.get(s.name) as Buffer).length;
        const at = Math.floor(s.at * size);
        const remove = Math.min(s.remove, size - at);
        const bytes = fresh(s.bytes);
        const extents: Extent[] =
          s.bytes === 0
            ? []
            : [{ unit: open.writeUnit([bytes], [1000, 1000, 1000]), offset: 0, length: s.bytes }];
        open.commit([{ type: "splice", ino, offset: at, remove, extents }]);
        spliceModel(model, s.name, at, remove, bytes);
        break;
      }
      case "share": {
        const source = ensure(open, model, s.from);
        const target = ensure(open, model, s.name);
        const old = model.get(s.from) as Buffer;
        const at = Math.floor(s.at * old.length);
        const extents = open.extents(source, at, s.length);
        const bytes = Buffer.from(old.subarray(at, at + s.length));
        const end = (model.get(s.name) as Buffer).length;
        open.commit([{ type: "splice", ino: target, offset: end, remove: 0, extents }]);
        spliceModel(model, s.name, end, 0, bytes);
        break;
      }
      case "deliver": {
        const shared = fresh(s.shared);
        const own = fresh(s.own * s.names.length);
        const unit = open.writeUnit([shared, own]);
        const targets = s.names.map((of, k) => ({
          ino: ensure(open, model, of),
          private: s.own === 0 ? undefined : { unit, offset: s.shared + k * s.own, length: s.own },
        }));
        const extent = { unit, offset: 0, length: s.shared };
        open.commit([{ type: "deliver", time: now, shared: [extent], targets }]);
        for (const [k, of] of s.names.entries()) {
          const mine = Buffer.concat([own.subarray(k * s.own, (k + 1) * s.own), shared]);
          spliceModel(model, of, (model.get(of) as Buffer).length, 0, mine);
        }
        break;
      }
      case "unlink": {
        const ino = open.lookup(1, s.name);
        if (ino === 0) break;
        open.commit([
          { type: "unname", parent: 1, name: s.name },
          { type: "attributes", ino, nlink: 0 },
        ]);
        open.commit([{ type: "dropInode", ino }]);
        model.delete(s.name);
        break;
      }
      case "checkpoint":
        // Not awaited: the following steps change rows that are being written.
        void open.checkpoint();
        break;
      case "reopen":
      case "rebuild": {
        const { directory } = open;
        await open.close();
        open = await Store.open(directory, { rebuildIndex: s.kind === "rebuild" });
        break;
      }
    }
  }
  return open;
}

t.test("a store holds what a map of buffers holds", async (t) => {
  const parent = scratch(t, "model");
  let count = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const directory = join(parent, String(count++));
      const model: Model = new Map();
      let store = await Store.open(directory, { create: true, segmentLength: 20_000 });
      store = await run(store, model, steps);
      const found = JSON.stringify(contents(store, NAMES));
      await store.close();
      if (found !== JSON.stringify(expected(model, NAMES))) throw new Error("content differs");
      for (const rebuildIndex of [false, true]) {
        const report = await checkStore(directory, { rebuildIndex });
        if (!report.clean) throw new Error(report.problems.join("\n"));
        const again = await Store.open(directory);
        const foundAgain = JSON.stringify(contents(again, NAMES));
        const logical = again.statistics().logicalBytes;
        await again.close();
        if (foundAgain !== found) throw new Error("content differs after reopening");
        let sizes = 0;
        for (const bytes of model.values()) sizes += bytes.length;
        if (logical !== sizes) throw new Error(`logicalBytes ${logical}, not ${sizes}`);
      }
      fs.rmSync(directory, { recursive: true, force: true });
    }),
    { seed, numRuns: 40 },
  );
  t.pass("40 random histories");
});

/** What is on the disk when the process is killed now: a copy that another process may open. */
function crashCopy(store: Store, to: string): void {
  fs.cpSync(store.directory, to, { recursive: true });
}

t.test("after a crash the index and the log give the state at the last commit", async (t) => {
  const parent = scratch(t, "crash");
  const model: Model = new Map();
  let store = await Store.open(join(parent, "s"), { create: true, segmentLength: 50_000 });
  for (let round = 0; round < 15; round++) {
    const steps = fc.sample(step, { seed: seed + round, numRuns: 30 });
    const quiet = steps.filter((s) => s.kind !== "reopen" && s.kind !== "rebuild");
    store = await run(store, model, quiet);
    await store.checkpoint();
    const more = fc.sample(step, { seed: seed - round - 1, numRuns: 10 });
    store = await run(
      store,
      model,
      more.filter((s) => s.kind !== "reopen" && s.kind !== "rebuild" && s.kind !== "checkpoint"),
    );
    const copy = join(parent, `copy${round}`);
    crashCopy(store, copy);
    const report = await checkStore(copy);
    t.same(report.problems, [], "fsck is clean");
    const again = await Store.open(copy);
    t.same(contents(again, NAMES), expected(model, NAMES), `round ${round}`);
    await again.close();
  }
  await store.close();
});

t.test("a log that is cut anywhere gives a state between two commits", async (t) => {
  const parent = scratch(t, "cut");
  const directory = join(parent, "s");
  const store = await Store.open(directory, { create: true });
  store.commit(create(store, "a"));
  const ino = store.lookup(1, "a");
  const states = [""];
  const log = join(directory, "log", "00000001.seg");
  await store.durable();
  const start = fs.statSync(log).size;
  for (let k = 0; k < 4; k++) {
    const bytes = fresh(150);
    const unit = store.writeUnit([bytes], [100, 50]);
    const offset = k * 150;
    const extents = [{ unit, offset: 0, length: 150 }];
    store.commit([{ type: "splice", ino, offset, remove: 0, extents }]);
    states.push((states[k] as string) + bytes.toString("latin1"));
  }
  await store.durable();
  const whole = fs.readFileSync(log);
  await store.close();
  let last = 0;
  // Every third length: the header, meta and data of each frame are cut somewhere.
  for (let left = whole.length - start; left >= 0; left -= 3) {
    const length = whole.length - Math.max(0, left < 3 ? 0 : left);
    const copy = join(parent, "copy");
    fs.rmSync(copy, { recursive: true, force: true });
    fs.mkdirSync(join(copy, "log"), { recursive: true });
    fs.copyFileSync(join(directory, "format"), join(copy, "format"));
    const bytes = Buffer.from(whole.subarray(0, length));
    // Every other cut leaves garbage behind it, as an unsynced block may.
    const tail = length % 2 === 0 ? Buffer.alloc(40, 0xa5) : Buffer.alloc(0);
    fs.writeFileSync(join(copy, "log", "00000001.seg"), Buffer.concat([bytes, tail]));
    const again = await Store.open(copy);
    const content = again.read(again.lookup(1, "a"), 0, 10_000).toString("latin1");
    const which = states.indexOf(content);
    await again.close();
    if (which < last) t.fail(`a log of ${length} bytes gives state ${which} after ${last}`);
    last = Math.max(last, which);
  }
  t.equal(last, 4, "the whole log gives the last state");
});

t.test("two processes cannot open one store", async (t) => {
  const directory = join(scratch(t, "busy"), "s");
  const store = await Store.open(directory, { create: true });
  const module = new URL("../fs/store/store.js", import.meta.url).pathname;
  const code = `import { Store } from ${JSON.stringify(module)};
    try { await Store.open(${JSON.stringify(directory)}); console.log("opened"); }
    catch (error) { console.log(error.code, error.message); }`;
  const other = spawnSync(process.execPath, ["--input-type=module", "-e", code], {
    encoding: "utf8",
    timeout: 30_000,
  });
  t.match(other.stdout, /^STORE_BUSY the store .* is in use by process \d+/);
  await store.close();
});

t.test("a directory that is not a store, and a newer store, are refused", async (t) => {
  const parent = scratch(t, "format");
  await t.rejects(Store.open(parent), { code: "STORE_FORMAT" });
  fs.writeFileSync(join(parent, "letter"), "x");
  await t.rejects(Store.open(parent, { create: true }), /not empty/);
  const directory = join(parent, "s");
  await (await Store.open(directory, { create: true })).close();
  fs.writeFileSync(join(directory, "format"), "onespool store format 2\n");
  await t.rejects(Store.open(directory), /has format 2, and this program knows format 1/);
});

t.test("a damaged byte is found by reading it and by fsck", async (t) => {
  const directory = join(scratch(t, "damage"), "s");
  const store = await Store.open(directory, { create: true });
  store.commit([...create(store, "a"), ...create(store, "b")]);
  const unit = store.writeUnit([Buffer.alloc(5000, "x")], [4000, 1000]);
  const [a, b] = [store.lookup(1, "a"), store.lookup(1, "b")];
  store.commit([
    { type: "splice", ino: a, offset: 0, remove: 0, extents: [{ unit, offset: 0, length: 4000 }] },
    {
      type: "splice",
      ino: b,
      offset: 0,
      remove: 0,
      extents: [{ unit, offset: 4000, length: 1000 }],
    },
  ]);
  await store.close();
  const log = join(directory, "log", "00000001.seg");
  const bytes = fs.readFileSync(log);
  const at = bytes.indexOf("xxxx") + 100;
  bytes[at] = 0x79;
  fs.writeFileSync(log, bytes);
  const again = await Store.open(directory);
  t.throws(() => again.read(a, 0, 10), { code: "STORE_DAMAGED" });
  t.equal(again.read(b, 0, 1000).toString(), "x".repeat(1000), "the other chunk is readable");
  await again.close();
  const report = await checkStore(directory);
  t.notOk(report.clean);
  t.match(
    report.problems.join("\n"),
    /segment 1, offset \d+, 4000 bytes: stored bytes do not fit their checksum \(unit 1\); 1 file touched: a \(lost: bytes 0-3999\)/,
  );
});

t.test(
  "what stands behind damage in the last segment is kept in a file, and fsck says so",
  async (t) => {
    const directory = join(scratch(t, "tail"), "s");
    const store = await Store.open(directory, { create: true });
    const model: Model = new Map();
    await run(store, model, [{ kind: "deliver", names: ["a"], own: 3, shared: 500 }]);
    const log = join(directory, "log", "00000001.seg");
    const middle = store.statistics().indexLagBytes + 32;
    await run(store, model, [{ kind: "deliver", names: ["a", "b"], own: 3, shared: 500 }]);
    await store.durable();
    const copy = `${directory}-copy`;
    crashCopy(store, copy);
    await store.close();
    const whole = fs.readFileSync(log);
    const damaged = join(copy, "log", "00000001.seg");
    const bytes = fs.readFileSync(damaged);
    bytes[middle + 20] = (bytes[middle + 20] as number) ^ 1;
    fs.writeFileSync(damaged, bytes);
    const report = await checkStore(copy);
    t.match(report.savedTail, /00000001\.seg\.cut-at-/);
    const kept = fs
      .readdirSync(join(copy, "log"))
      .find((name) => name.includes("cut-at")) as string;
    const at = Number(kept.split("-").at(-1));
    const tail = fs.readFileSync(join(copy, "log", kept));
    t.ok(tail.subarray(100, whole.length - at).equals(whole.subarray(at + 100)), "it is the tail");
  },
);

t.test("a log that is not whole is refused, by fsck as well", async (t) => {
  const parent = scratch(t, "whole");
  const log = (name: string): string => join(parent, name, "log", "00000001.seg");
  for (const name of ["gone", "short", "hole"]) {
    const store = await Store.open(join(parent, name), { create: true, segmentLength: 3000 });
    const steps: Step[] = [];
    for (let k = 0; k < 6; k++) steps.push({ kind: "deliver", names: ["a"], own: 3, shared: 900 });
    await run(store, new Map(), steps);
    await store.close();
  }
  for (const name of fs.readdirSync(join(parent, "gone", "log"))) {
    fs.rmSync(join(parent, "gone", "log", name));
  }
  const last = fs
    .readdirSync(join(parent, "short", "log"))
    .sort()
    .at(-1) as string;
  fs.truncateSync(join(parent, "short", "log", last), 100);
  fs.rmSync(log("hole"));
  for (const [name, rebuildIndex] of [
    ["gone", false],
    ["gone", true],
    ["short", false],
    ["hole", true],
  ] as const) {
    const refusal = { code: "STORE_DAMAGED" };
    await t.rejects(Store.open(join(parent, name), { create: true, rebuildIndex }), refusal, name);
    const report = await checkStore(join(parent, name), { rebuildIndex });
    t.match(report, { clean: false, opened: false }, `fsck of ${name}`);
    t.match(report.problems[0], /^the store cannot be opened: /);
  }
});

t.test("a checkpoint that fails loses nothing for the next one", async (t) => {
  const directory = join(scratch(t, "failed"), "s");
  const store = await Store.open(directory, { create: true });
  const model: Model = new Map();
  await run(store, model, [{ kind: "deliver", names: ["a", "b"], own: 3, shared: 500 }]);
  const { index } = store.internals();
  const batch = index.batch.bind(index);
  index.batch = () => ({ ...batch(), write: () => Promise.reject(new Error("no space")) });
  const failing = store.checkpoint();
  await run(store, model, [{ kind: "deliver", names: ["b", "c"], own: 3, shared: 500 }]);
  await t.rejects(failing, /no space/);
  index.batch = batch;
  await run(store, model, [{ kind: "deliver", names: ["c"], own: 3, shared: 500 }]);
  await store.close();
  t.same((await checkStore(directory)).problems, []);
  const again = await Store.open(directory);
  t.equal(again.recovered.bytes, 0, "the index covers the log");
  t.same(contents(again, NAMES), expected(model, NAMES));
  await again.close();
});

t.test("a unit whose commit was refused is not in the log", async (t) => {
  const directory = join(scratch(t, "queued"), "s");
  const store = await Store.open(directory, { create: true });
  store.commit(create(store, "a"));
  const ino = store.lookup(1, "a");
  const bytes = Buffer.from("reused by the next request");
  const unit = store.writeUnit([bytes]);
  const extents = [{ unit, offset: 0, length: 3 }];
  t.throws(() => store.commit([{ type: "splice", ino, offset: 9, remove: 0, extents }]));
  store.dropUnit(unit);
  store.dropUnit(store.writeUnit([bytes]));
  bytes.fill("x");
  store.commit(create(store, "b"));
  await store.close();
  t.same((await checkStore(directory, { rebuildIndex: true })).problems, []);
});

t.test("a missing or damaged index is made again", async (t) => {
  const directory = join(scratch(t, "index"), "s");
  const store = await Store.open(directory, { create: true });
  const model: Model = new Map();
  await (
    await run(store, model, [{ kind: "deliver", names: ["a", "b"], own: 9, shared: 99 }])
  ).close();
  fs.rmSync(join(directory, "index"), { recursive: true });
  let again = await Store.open(directory);
  t.same(contents(again, NAMES), expected(model, NAMES), "missing");
  await again.close();
  for (const name of fs.readdirSync(join(directory, "index"))) {
    if (name.startsWith("MANIFEST")) fs.truncateSync(join(directory, "index", name), 3);
  }
  const report = await checkStore(directory);
  t.equal(report.indexRebuilt, true);
  t.same(report.problems, []);
  again = await Store.open(directory);
  t.same(contents(again, NAMES), expected(model, NAMES), "damaged");
  await again.close();
  fs.writeFileSync(join(directory, "index", "CURRENT"), "\n");
  again = await Store.open(directory);
  t.equal(again.indexRebuilt, true, "an index that LevelDB cannot begin to open");
  t.same(contents(again, NAMES), expected(model, NAMES));
  await again.close();
});

t.test("sparse files of the largest size do not overflow the counters", async (t) => {
  const directory = join(scratch(t, "sparse"), "s");
  const store = await Store.open(directory, { create: true });
  for (const name of ["a", "b", "c"]) {
    store.commit(create(store, name));
    const extents = [{ unit: 0, offset: 0, length: Number.MAX_SAFE_INTEGER }];
    const ino = store.lookup(1, name);
    store.commit([{ type: "splice", ino, offset: 0, remove: 0, extents }]);
  }
  await store.close();
  t.same((await checkStore(directory)).problems, []);
});

t.test("a snapshot of an extent map puts a file together again", async (t) => {
  const directory = join(scratch(t, "map"), "s");
  const store = await Store.open(directory, { create: true });
  store.commit(create(store, "a"));
  const ino = store.lookup(1, "a");
  const first = store.writeUnit([Buffer.from("one")]);
  const second = store.writeUnit([Buffer.from("two")]);
  const page = (unit: number): Extent[] => [{ unit, offset: 0, length: 3 }];
  store.commit([
    { type: "splice", ino, offset: 0, remove: 0, extents: [...page(first), ...page(second)] },
  ]);
  const before = store.statistics();
  store.commit([
    { type: "map", ino, offset: 0, extents: page(first), last: false },
    { type: "map", ino, offset: 3, extents: page(second), last: true },
  ]);
  t.same(contents(store, ["a"]), { a: "onetwo" });
  t.equal(store.statistics().storedBytes, before.storedBytes);
  await store.close();
  t.same((await checkStore(directory, { rebuildIndex: true })).problems, []);
});

t.test("a refused change leaves nothing behind", async (t) => {
  const directory = join(scratch(t, "refused"), "s");
  const store = await Store.open(directory, { create: true });
  store.commit(create(store, "a"));
  const ino = store.lookup(1, "a");
  const log = join(directory, "log", "00000001.seg");
  const size = fs.statSync(log).size;
  t.throws(
    () => store.commit([{ type: "splice", ino, offset: 5, remove: 0, extents: [] }]),
    /a splice lies in its file/,
  );
  t.equal(fs.statSync(log).size, size, "the log is as long as before");
  await store.close();
  t.same((await checkStore(directory)).problems, []);
});

t.test(
  "a full disk refuses the change, keeps the store whole, and lets it go on when there is room",
  { skip: process.getuid?.() === 0 ? false : "only root can mount a small tmpfs" },
  async (t) => {
    const parent = scratch(t, "full");
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=3m", "tmpfs", parent]);
    t.equal(mounted.status, 0, "tmpfs is mounted");
    t.teardown(() => spawnSync("umount", [parent]));
    const directory = join(parent, "s");
    const ballast = join(parent, "ballast");
    fs.writeFileSync(ballast, Buffer.alloc(1 << 20));
    const store = await Store.open(directory, { create: true });
    store.commit(create(store, "a"));
    const ino = store.lookup(1, "a");
    let size = 0;
    const append = (): void => {
      const unit = store.writeUnit([Buffer.alloc(50_000, "m")]);
      const extents = [{ unit, offset: 0, length: 50_000 }];
      store.commit([{ type: "splice", ino, offset: size, remove: 0, extents }]);
      size += 50_000;
    };
    let refusal: unknown;
    for (let k = 0; k < 100 && refusal === undefined; k++) {
      try {
        append();
      } catch (error) {
        refusal = error;
      }
    }
    t.ok(refusal instanceof StoreError && refusal.code === "STORE_FULL", String(refusal));
    t.equal(store.statistics().deadBytes, 0, "what was refused is not in the log");
    t.equal(store.read(ino, 0, 1 << 24).length, size, "what was accepted is there, no more");
    fs.rmSync(ballast);
    append();
    t.equal(store.read(ino, 0, 1 << 24).length, size, "and then it goes on");
    await store.close();
    t.same((await checkStore(directory)).problems, []);
  },
);

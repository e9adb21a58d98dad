/** Chunks in memory for who looks at the same bytes again: bounded, and only what fits its checksum. */
import { readdirSync, writeFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import t from "tap";
import { ChunkCache } from "../fs/store/state/chunk-cache.ts";
import { StoreError } from "../fs/store/errors.ts";
import { Harness, RDWR, ROOT, ROOT_CALLER } from "./files-harness.ts";

function add(cache: ChunkCache, segment: number, position: number, length: number): void {
  cache.reserve(length).fill(segment * 50 + position);
  cache.keep(segment, position, length);
}

t.test("the chunk that came first goes first, when there are too many bytes", (t) => {
  const cache = new ChunkCache(100);
  add(cache, 1, 0, 40);
  add(cache, 2, 0, 40);
  t.same(cache.get(1, 0, 40), Buffer.alloc(40, 50));
  t.same(cache.get(2, 0, 40), Buffer.alloc(40, 100));
  t.equal(cache.get(1, 40, 40), undefined);
  add(cache, 1, 40, 40);
  t.equal(cache.get(1, 0, 40), undefined);
  t.same(cache.get(2, 0, 40), Buffer.alloc(40, 100));
  t.same(cache.get(1, 40, 40), Buffer.alloc(40, 90));
  add(cache, 3, 0, 100);
  t.equal(cache.get(2, 0, 40), undefined);
  t.equal(cache.get(1, 40, 40), undefined);
  t.same(cache.get(3, 0, 100), Buffer.alloc(100, 150));
  t.end();
});

t.test("room that is not kept leaves no entry", (t) => {
  const cache = new ChunkCache(100);
  add(cache, 1, 0, 60);
  cache.reserve(60).fill(9);
  t.equal(cache.get(1, 0, 60), undefined);
  add(cache, 1, 1, 30);
  t.same(cache.get(1, 1, 30), Buffer.alloc(30, 51));
  t.end();
});

t.test("whatever is added, what is there is right", (t) => {
  const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
  fc.assert(
    fc.property(fc.array(fc.nat(40), { maxLength: 200 }), (positions) => {
      const cache = new ChunkCache(100);
      for (const position of positions) {
        // What stands at a place has one length.
        const own = 1 + ((position * 7) % 60);
        const present = cache.get(1, position, own);
        if (present === undefined) add(cache, 1, position, own);
        else if (!present.equals(Buffer.alloc(own, 50 + position))) return false;
        if (!cache.get(1, position, own)!.equals(Buffer.alloc(own, 50 + position))) return false;
      }
      return true;
    }),
    { seed, numRuns: 500 },
  );
  t.pass(`SEED=${seed}`);
  t.end();
});

t.test("a look gives what a read gives, over holes, pieces and changes", async (t) => {
  const harness = await Harness.open();
  t.teardown(() => harness.close());
  const { store, files } = harness;
  const made = files.create(ROOT, "box", 0o600, RDWR, ROOT_CALLER);
  if (typeof made === "number") throw new Error(`create: ${made}`);
  const { ino } = made.attributes;
  const { handle } = made.open;
  const write = (offset: number, text: string): unknown =>
    files.write({ ino, handle, offset, data: Buffer.from(text), flags: RDWR }, ROOT_CALLER);
  write(0, "first ".repeat(2000));
  write(20_000, "behind a hole ".repeat(1000));
  for (let round = 0; round < 50; round++) {
    write(round * 397, `edit ${round} `.repeat(1 + (round % 7)));
    for (const [offset, length] of [
      [0, 34_000],
      [round * 390, 100],
      [11_990, 9_000],
      [33_999, 1],
    ] as const) {
      const bytes = Buffer.alloc(length);
      store.look(ino, offset, bytes);
      t.same(bytes, store.read(ino, offset, length));
    }
  }
});

t.test("a damaged chunk is not looked at", async (t) => {
  const harness = await Harness.open();
  t.teardown(() => harness.close());
  const { files, directory } = harness;
  const made = files.create(ROOT, "box", 0o600, RDWR, ROOT_CALLER);
  if (typeof made === "number") throw new Error(`create: ${made}`);
  const { ino } = made.attributes;
  const text = "a mark that is found in the log. ".repeat(100);
  const data = Buffer.from(text);
  await files.write({ ino, handle: made.open.handle, offset: 0, data, flags: RDWR }, ROOT_CALLER);
  const [segment] = readdirSync(join(directory, "log"));
  const path = join(directory, "log", segment!);
  const bytes = readFileSync(path);
  const damaged = Buffer.from(bytes);
  damaged[bytes.indexOf("a mark")] = 0x41;
  writeFileSync(path, damaged);
  const looked = Buffer.alloc(10);
  for (let k = 0; k < 2; k++) t.throws(() => harness.store.look(ino, 500, looked), StoreError);
  writeFileSync(path, bytes);
  harness.store.look(ino, 500, looked);
  t.same(looked, data.subarray(500, 510));
});

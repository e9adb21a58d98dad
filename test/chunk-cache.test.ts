/** Chunks in memory for who looks at the same bytes again: bounded, and only what fits its checksum. */
import { readdirSync, writeFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { ChunkCache } from "../fs/store/chunk-cache.ts";
import { StoreError } from "../fs/store/errors.ts";
import { Harness, RDWR, ROOT, ROOT_CALLER } from "./files-harness.ts";

t.test("the chunk that came first goes first, when there are too many bytes", (t) => {
  const cache = new ChunkCache(100);
  cache.add(1, 0, Buffer.alloc(40, 1));
  cache.add(2, 0, Buffer.alloc(40, 2));
  t.equal(cache.get(1, 0)?.[0], 1);
  t.equal(cache.get(2, 0)?.[0], 2);
  t.equal(cache.get(1, 40), undefined);
  cache.add(1, 40, Buffer.alloc(40, 3));
  t.equal(cache.get(1, 0), undefined);
  t.equal(cache.get(2, 0)?.[0], 2);
  t.equal(cache.get(1, 40)?.[0], 3);
  cache.add(3, 0, Buffer.alloc(200, 4));
  for (const [segment, position] of [
    [2, 0],
    [1, 40],
    [3, 0],
  ] as const) {
    t.equal(cache.get(segment, position), undefined, "a chunk that is longer than all is not kept");
  }
  cache.add(3, 0, Buffer.alloc(100, 5));
  t.equal(cache.get(3, 0)?.[0], 5);
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
      t.same(store.look(ino, offset, length), store.read(ino, offset, length));
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
  for (let k = 0; k < 2; k++) t.throws(() => harness.store.look(ino, 500, 10), StoreError);
  writeFileSync(path, bytes);
  t.same(harness.store.look(ino, 500, 10), data.subarray(500, 510));
});

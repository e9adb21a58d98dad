import fc from "fast-check";
import t from "tap";
import { KnownInodes } from "../fs/kernel/known-inodes.ts";

type Step = { readonly ino: number; readonly count: number };

/** Few numbers, so that keys meet again; runs and high bits, as inode numbers have them. */
const inode = fc.oneof(
  fc.integer({ min: 1, max: 3000 }),
  fc.integer({ min: 2 ** 40, max: 2 ** 40 + 50 }),
  fc.constant(Number.MAX_SAFE_INTEGER),
);

const step: fc.Arbitrary<Step> = fc.record({
  ino: inode,
  count: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 4 })),
});

/** A count of 0 is an addition, another one a FORGET of so many. */
function run(steps: readonly Step[]): void {
  const table = new KnownInodes();
  const model = new Map<number, number>();
  for (const { ino, count } of steps) {
    const present = model.get(ino) ?? 0;
    if (count === 0) {
      table.add(ino);
      model.set(ino, present + 1);
      continue;
    }
    const isForgotten = table.subtract(ino, count);
    if (isForgotten !== (present > 0 && count >= present)) throw new Error(`subtract of ${ino}`);
    if (count >= present) model.delete(ino);
    else model.set(ino, present - count);
  }
  table.check();
  if (table.size !== model.size) throw new Error(`size ${table.size}, model ${model.size}`);
  for (const [ino, count] of model) {
    if (table.count(ino) !== count) throw new Error(`count of ${ino}`);
  }
  const left: number[] = [];
  table.clear((ino) => left.push(ino));
  if (left.length !== model.size || left.some((ino) => !model.has(ino))) throw new Error("clear");
  table.check();
}

t.test("known inodes behave like a Map of counts", async (t) => {
  const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
  t.comment(`seed ${seed}; repeat with SEED=${seed} node dist/test/kernel-known-inodes.test.js`);
  const steps = fc.array(step, { maxLength: 6000, size: "max" });
  const runs = 60;
  fc.assert(fc.property(steps, run), { seed, numRuns: runs });
  t.pass(`${runs} runs`);
});

t.test("table grows to a million inodes within 32 MB and shrinks again", async (t) => {
  const table = new KnownInodes();
  const count = 1_000_000;
  for (let ino = 16; ino < 16 + count; ino += 1) table.add(ino);
  t.equal(table.size, count);
  t.ok(table.byteLength <= 32 * 1024 * 1024, `${table.byteLength} bytes`);
  table.check();
  for (let ino = 16; ino < 16 + count; ino += 1) table.subtract(ino, 1);
  t.equal(table.size, 0);
  t.ok(table.byteLength <= 32 * 1024, `${table.byteLength} bytes`);
  table.check();
});

t.test("free slots and unknown inodes are not known", async (t) => {
  const table = new KnownInodes();
  t.equal(table.has(0), false);
  t.equal(table.subtract(0, 1), false);
  t.equal(table.subtract(77, 1), false);
  table.add(77);
  t.equal(table.has(77), true);
  t.equal(table.subtract(77, 2 ** 53), true);
  t.equal(table.has(77), false);
});

t.test("a mark lasts as long as the inode is known, whatever happens to its count", async (t) => {
  const table = new KnownInodes();
  table.mark(0);
  table.mark(5);
  t.notOk(table.isMarked(0) || table.isMarked(5), "what is not known is not marked");
  for (let ino = 1; ino <= 3000; ino += 1) table.add(ino);
  for (let ino = 1; ino <= 3000; ino += 3) table.mark(ino);
  table.mark(1);
  table.add(1);
  t.equal(table.count(1), 2);
  for (let ino = 2; ino <= 3000; ino += 3) table.subtract(ino, 1);
  table.check();
  const marked = Array.from({ length: 3000 }, (_, k) => k + 1).filter((ino) => table.isMarked(ino));
  t.equal(marked.length, 1000);
  t.ok(marked.every((ino) => ino % 3 === 1));
  t.equal(table.subtract(1, 1), false);
  t.ok(table.isMarked(1));
  t.equal(table.subtract(1, 1), true);
  table.add(1);
  t.equal(table.isMarked(1), false, "known anew");
  table.check();
});

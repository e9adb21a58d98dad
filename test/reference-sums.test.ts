/** Sums of references tell every difference that counting tells. */
import t from "tap";
import { addReferences, unreferenced } from "../fs/store/state/references.ts";
import { ReferenceSums } from "../fs/store/check/reference-sums.ts";
import { randomFrom } from "./store-load.ts";

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
t.comment(`seed ${seed}: SEED=${seed} node dist/test/reference-sums.test.js repeats this run`);

type Found = readonly [unit: number, offset: number, length: number];

function runsOf(found: readonly Found[], unit: number, length: number): number[] {
  let runs = unreferenced(length);
  for (const [of, offset, count] of found) {
    if (of === unit) runs = addReferences(runs, offset, count, 1, { live: 0, shared: 0 });
  }
  return runs;
}

const FROM = 5;
const LENGTH = 300;
const COUNT = 20;

function differing(found: readonly Found[], rows: readonly number[][]): number[] {
  const sums = new ReferenceSums(FROM, FROM + COUNT);
  for (const [k, runs] of rows.entries()) sums.expect(FROM + k, runs);
  for (const [unit, offset, length] of found) sums.found(unit, offset, length);
  return [...sums.differing(100)];
}

t.test("the same references, in any order and in other pieces, do not differ", async (t) => {
  const random = randomFrom(seed);
  for (let round = 0; round < 200; round++) {
    const found = draw(random);
    const rows = Array.from({ length: COUNT }, (_, k) => runsOf(found, FROM + k, LENGTH));
    const cut = found.flatMap(([unit, offset, length]): Found[] => {
      if (length < 2) return [[unit, offset, length]];
      const first = 1 + Math.floor(random() * (length - 1));
      return [
        [unit, offset + first, length - first],
        [unit, offset, first],
      ];
    });
    t.strictSame(differing(cut, rows), []);
  }
});

t.test("one reference more, less or elsewhere differs", async (t) => {
  const random = randomFrom(seed + 1);
  for (let round = 0; round < 300; round++) {
    const found = draw(random);
    const rows = Array.from({ length: COUNT }, (_, k) => runsOf(found, FROM + k, LENGTH));
    const k = Math.floor(random() * found.length);
    const [unit, offset, length] = found[k]!;
    const others = found.filter((_, other) => other !== k);
    const changed: readonly Found[][] = [
      others,
      [...found, found[k]!],
      [...others, [unit, offset + 1, length]],
      [...others, [unit, offset, length + 1]],
    ];
    for (const one of changed) t.strictSame(differing(one, rows), [unit]);
    const other = unit === FROM ? FROM + 1 : unit - 1;
    t.strictSame(
      differing([...others, [other, offset, length]], rows),
      [unit, other].sort((a, b) => a - b),
    );
  }
});

function draw(random: () => number): Found[] {
  return Array.from({ length: 60 }, () => {
    const offset = Math.floor(random() * (LENGTH - 60));
    return [FROM + Math.floor(random() * COUNT), offset, 1 + Math.floor(random() * 50)];
  });
}

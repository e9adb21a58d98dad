import t from "tap";
import { formatTable, median, passes, ratioOf, type Figure } from "../bench/figures.ts";

const figure: Figure = {
  row: "row",
  work: "work",
  unit: "things/s",
  ours: [30, 10, 20],
  plain: { name: "plain", values: [5, 50, 10] },
};

t.test("a median is the middle measurement, or the mean of the two in the middle", async (t) => {
  t.equal(median([3, 1, 2]), 2);
  t.equal(median([4, 1, 3, 2]), 2.5);
});

t.test("a ratio is that of the medians", async (t) => {
  t.equal(ratioOf(figure), 2);
});

t.test("a target is reached at exactly its value and missed below", async (t) => {
  const asked = (atLeast: number): boolean | undefined =>
    passes({ ...figure, target: { kind: "ratio", atLeast } });
  t.equal(asked(2), true);
  t.equal(asked(2.01), false);
  t.equal(passes({ ...figure, target: { kind: "value", atMost: 20 } }), true);
  t.equal(passes({ ...figure, target: { kind: "value", atMost: 19 } }), false);
});

t.test("a ratio of times is reached at exactly its value and missed above", async (t) => {
  const asked = (atMost: number): boolean | undefined =>
    passes({ ...figure, target: { kind: "ratio", atMost } });
  t.equal(asked(2), true);
  t.equal(asked(1.99), false);
});

t.test("a ratio to nothing misses its target, of whichever kind", async (t) => {
  const alone: Figure = { row: "row", work: "work", unit: "ms", ours: [1] };
  t.equal(passes({ ...alone, target: { kind: "ratio", atMost: 5 } }), false);
  t.equal(passes({ ...alone, target: { kind: "ratio", atLeast: 0 } }), false);
});

t.test("a figure without a target neither passes nor misses", async (t) => {
  t.equal(passes(figure), undefined);
});

t.test("a figure that could not be computed misses its target", async (t) => {
  t.equal(passes({ ...figure, ours: [Number.NaN], target: { kind: "value", atMost: 1 } }), false);
});

t.test("the table says PASS or short beside each target", async (t) => {
  const table = formatTable([
    { ...figure, target: { kind: "ratio", atLeast: 1 } },
    { ...figure, target: { kind: "ratio", atMost: 2.5 } },
    { ...figure, target: { kind: "ratio", atLeast: 3 } },
  ]);
  t.match(table, /2\.00x +>= 1x +PASS\n/);
  t.match(table, /2\.00x +<= 2\.5x +PASS\n/);
  t.match(table, /2\.00x +>= 3x +short$/);
});

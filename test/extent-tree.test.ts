/** Splices of an extent tree against a plain list of bytes, small ones and very long ones. */
import fc from "fast-check";
import t from "tap";
import type { Extent } from "../fs/store/records/change.ts";
import { ExtentNode, ROOT_ID } from "../fs/store/state/extent-node.ts";
import { ExtentTree } from "../fs/store/state/extent-tree.ts";

function emptyTree(): ExtentTree {
  return new ExtentTree(new ExtentNode(9, ROOT_ID, true, []), 1, {
    made: () => undefined,
    counted: () => undefined,
    load: (_ino, id) => {
      throw new Error(`node ${id} is not in memory`);
    },
    touch: () => undefined,
  });
}

/** Each byte as "unit:offset"; the bytes of a hole are all alike. */
function bytesOf(extents: readonly Extent[]): string[] {
  return extents.flatMap(({ unit, offset, length }) =>
    Array.from({ length }, (_, i) => (unit === 0 ? "0" : `${unit}:${offset + i}`)),
  );
}

t.test("a splice of 300,000 extents, and one that takes them away", (t) => {
  const tree = emptyTree();
  tree.append(1, 0, 100);
  const many = Array.from({ length: 300_000 }, (_, i) => ({
    unit: 2 + (i % 7),
    offset: 3 * i,
    length: 1,
  }));
  t.same(tree.splice(50, 10, many), [{ unit: 1, offset: 50, length: 10 }]);
  tree.check();
  t.equal(tree.length, 300_090);
  t.same(tree.slice(49, 3), [
    { unit: 1, offset: 49, length: 1 },
    { unit: 2, offset: 0, length: 1 },
    { unit: 3, offset: 3, length: 1 },
  ]);
  t.equal(tree.splice(40, 300_020, []).length, 300_002);
  tree.check();
  t.same(tree.slice(0, 1000), [
    { unit: 1, offset: 0, length: 40 },
    { unit: 1, offset: 70, length: 30 },
  ]);
  t.end();
});

t.test("random splices give what a list of bytes gives", (t) => {
  const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
  const extent = fc.record({
    unit: fc.nat(5),
    offset: fc.nat(50),
    length: fc.integer({ min: 1, max: 9 }),
  });
  const splice = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    remove: fc.oneof(fc.nat(12), fc.nat(2000)),
    extents: fc.oneof(
      { weight: 5, arbitrary: fc.array(extent, { maxLength: 4 }) },
      { weight: 1, arbitrary: fc.array(extent, { minLength: 100, maxLength: 400 }) },
    ),
  });
  fc.assert(
    fc.property(fc.array(splice, { minLength: 1, maxLength: 60 }), (splices) => {
      const tree = emptyTree();
      const model: string[] = [];
      for (const { at, remove, extents } of splices) {
        const offset = Math.floor(at * model.length);
        const count = Math.min(remove, model.length - offset);
        const removed = bytesOf(tree.splice(offset, count, extents));
        const expected = model.splice(offset, count, ...bytesOf(extents));
        tree.check();
        if (removed.join() !== expected.join() || tree.length !== model.length) return false;
      }
      return bytesOf(tree.slice(0, model.length)).join() === model.join();
    }),
    { seed, numRuns: 200 },
  );
  t.pass(`SEED=${seed}`);
  t.end();
});

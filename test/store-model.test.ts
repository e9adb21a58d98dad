/**
 * The store's data structures against naive models on the same random events. A failure prints the seed;
 * `FC_SEED=n npx tap ...` repeats it.
 */
import fc from "fast-check";
import t from "tap";
import type { Extent } from "../fs/store/records/change.ts";
import { ExtentNode, NODE_ENTRIES_MAX, ROOT_ID } from "../fs/store/state/extent-node.ts";
import { ExtentTree } from "../fs/store/state/extent-tree.ts";
import { addReferences, bytesReferenced, unreferenced } from "../fs/store/state/references.ts";

const seed = process.env["FC_SEED"] === undefined ? Date.now() : Number(process.env["FC_SEED"]);
t.comment(`seed ${seed}: FC_SEED=${seed} repeats this run`);

function newTree(): { tree: ExtentTree; nodes: Map<number, ExtentNode> } {
  const nodes = new Map<number, ExtentNode>();
  const pool = {
    made: (): void => {},
    counted: (): void => {},
    load: (_ino: number, id: number): ExtentNode => {
      const node = nodes.get(id);
      if (node === undefined) throw new Error(`node ${id} is not there`);
      return node;
    },
    touch: (node: ExtentNode): void => {
      node.generation = 1;
      nodes.set(node.id, node);
    },
  };
  return { tree: new ExtentTree(new ExtentNode(9, ROOT_ID, true, []), 1, pool), nodes };
}

/** A file as a list of single bytes: [unit, offset in the unit]. */
type Model = [number, number][];

function bytesOf(extents: readonly Extent[]): Model {
  const bytes: Model = [];
  for (const { unit, offset, length } of extents) {
    for (let k = 0; k < length; k++) bytes.push([unit, unit === 0 ? 0 : offset + k]);
  }
  return bytes;
}

const extent = fc.record({
  unit: fc.integer({ min: 0, max: 6 }),
  offset: fc.integer({ min: 0, max: 30 }),
  length: fc.integer({ min: 1, max: 12 }),
});

const edit = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  remove: fc.oneof(
    fc.constant(0),
    fc.integer({ min: 0, max: 40 }),
    fc.integer({ min: 0, max: 900 }),
  ),
  extents: fc.oneof(
    fc.array(extent, { maxLength: 3 }),
    fc.array(extent, { minLength: 100, maxLength: 300 }),
  ),
  end: fc.boolean(),
});

t.test("an extent tree holds what a list of bytes holds", async (t) => {
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 30 }), (edits) => {
      const { tree, nodes } = newTree();
      let model: Model = [];
      for (const { at, remove, extents, end } of edits) {
        const offset = end ? model.length : Math.floor(at * model.length);
        const count = Math.min(remove, model.length - offset);
        const [only] = extents;
        if (end && extents.length === 1 && only !== undefined) {
          tree.append(only.unit, only.offset, only.length);
          model = [...model, ...bytesOf(extents)];
          tree.check();
          continue;
        }
        const removed = tree.splice(offset, count, extents);
        const expected = model.slice(offset, offset + count);
        if (JSON.stringify(bytesOf(removed)) !== JSON.stringify(expected)) {
          throw new Error("splice returned other extents than were there");
        }
        model = [...model.slice(0, offset), ...bytesOf(extents), ...model.slice(offset + count)];
        tree.check();
        if (tree.length !== model.length) throw new Error("length differs");
      }
      const all = JSON.stringify(bytesOf(tree.slice(0, tree.length)));
      if (all !== JSON.stringify(model)) throw new Error("content differs");
      for (const node of nodes.values()) node.generation = 0;
      tree.unload();
      const from = Math.floor(model.length / 3);
      const some = JSON.stringify(bytesOf(tree.slice(from, 50)));
      if (some !== JSON.stringify(model.slice(from, from + 50))) throw new Error("slice differs");
    }),
    { seed, numRuns: 150 },
  );
  t.pass("150 random histories");
});

t.test("an extent tree that grows at its end keeps its leaves full", async (t) => {
  const { tree, nodes } = newTree();
  for (let k = 1; k <= 10_000; k++) tree.append(k, 0, 10);
  tree.check();
  t.equal(tree.length, 100_000);
  const leaves = [...nodes.values()].filter((node) => node.leaf && !node.removed);
  t.ok(
    leaves.length <= 10_000 / NODE_ENTRIES_MAX + 2,
    `${leaves.length} leaves for 10,000 extents`,
  );
});

t.test("neighbours of one unit are one extent", async (t) => {
  const { tree } = newTree();
  tree.append(5, 0, 10);
  tree.append(5, 10, 10);
  tree.splice(20, 0, [{ unit: 5, offset: 20, length: 5 }]);
  t.same(tree.slice(0, 100), [{ unit: 5, offset: 0, length: 25 }]);
  tree.splice(5, 5, [{ unit: 5, offset: 5, length: 5 }]);
  t.same(tree.slice(0, 100), [{ unit: 5, offset: 0, length: 25 }]);
});

t.test("references count what an array of counters counts", async (t) => {
  const change = fc.record({
    offset: fc.integer({ min: 0, max: 59 }),
    length: fc.integer({ min: 1, max: 60 }),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), fc.boolean(), (changes, undo) => {
      const counts = Array.from({ length: 60 }, () => 0);
      let runs: readonly number[] = unreferenced(60);
      const effect = { live: 0, shared: 0 };
      const apply = (offset: number, length: number, delta: number): void => {
        for (let k = offset; k < offset + length; k++) counts[k] = (counts[k] as number) + delta;
        runs = addReferences(runs, offset, length, delta, effect);
      };
      for (const { offset, length } of changes) apply(offset, Math.min(length, 60 - offset), 1);
      if (undo) {
        for (const { offset, length } of changes.slice(0, changes.length / 2)) {
          apply(offset, Math.min(length, 60 - offset), -1);
        }
      }
      const spread: number[] = [];
      for (let k = 0; k < runs.length; k += 2) {
        for (let n = 0; n < (runs[k] as number); n++) spread.push(runs[k + 1] as number);
      }
      if (spread.join() !== counts.join()) throw new Error("counts differ");
      if (effect.live !== counts.filter((count) => count > 0).length) throw new Error("live");
      if (effect.shared !== counts.filter((count) => count > 1).length) throw new Error("shared");
      if (bytesReferenced(runs, 1) !== effect.live) throw new Error("bytesReferenced");
    }),
    { seed, numRuns: 500 },
  );
  t.throws(() => addReferences([5, 0], 0, 1, -1, { live: 0, shared: 0 }), /not negative/);
});

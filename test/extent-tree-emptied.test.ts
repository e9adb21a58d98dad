/** Once, a root whose children were all removed stayed an inner node, and nothing could be added to it. */
import t from "tap";
import { ExtentNode, NODE_ENTRIES_MAX, ROOT_ID } from "../fs/store/state/extent-node.ts";
import { ExtentTree } from "../fs/store/state/extent-tree.ts";

for (const levels of [2, 3]) {
  t.test(`a file of ${levels} levels of extents is emptied and filled again`, (t) => {
    const tree = new ExtentTree(new ExtentNode(9, ROOT_ID, true, []), 1, {
      made: () => undefined,
      counted: () => undefined,
      load: (_ino, id) => {
        throw new Error(`node ${id} is not in memory`);
      },
      touch: () => undefined,
    });
    const count = NODE_ENTRIES_MAX ** (levels - 1) + 1;
    for (let i = 0; i < count; i++) tree.append(1, i * 20, 10);
    t.equal(tree.root.leaf, false);
    t.equal(tree.splice(0, tree.length, []).length, count);
    tree.check();
    t.equal(tree.length, 0);
    t.same(tree.slice(0, 100), []);
    tree.append(2, 0, 5);
    tree.check();
    t.same(tree.slice(0, 100), [{ unit: 2, offset: 0, length: 5 }]);
    t.end();
  });
}

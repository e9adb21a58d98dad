/**
 * A file's content: an ordered list of extents in a tree whose inner nodes count bytes, so that finding
 * and splicing at an offset is O(log n). Nodes are loaded when they are needed.
 *
 * Invariants (ExtentTree.check):
 * - all leaves have the same depth; no node but the root is empty; none has over NODE_ENTRIES_MAX entries;
 * - an inner node's numbers for a child equal the child's own;
 * - no extent is empty; neighbours within one leaf that continue each other in one unit are one extent.
 * Not here: references of units (apply.ts adds the new ones before it takes away the old).
 */
import { assert } from "../../../base/assert.ts";
import type { Extent } from "../records/change.ts";
import {
  CHILD_WIDTH,
  continues,
  EXTENT_WIDTH,
  ExtentNode,
  NODE_ENTRIES_MAX,
  pushExtent,
  ROOT_ID,
} from "./extent-node.ts";

/** Two nodes are made one when they then fill at most this part of it. */
const MERGED_ENTRIES_MAX = (NODE_ENTRIES_MAX * 3) / 4;
/** A node that changes and has no more entries is looked at for that. */
const SMALL_ENTRIES_MAX = NODE_ENTRIES_MAX / 4;

/** Where nodes come from and who has to know that they change. */
export interface NodePool {
  /** A node that was made, for whoever counts those in memory. */
  made(): void;
  /** There are so many extents more (or fewer, < 0) in leaves. */
  counted(delta: number): void;
  load(ino: number, id: number): ExtentNode;
  /** Before the node's first change, and again before each further one. */
  touch(node: ExtentNode): void;
}

export class ExtentTree {
  readonly root: ExtentNode;
  /** The id of the next node; it is stored with the root. */
  nextNodeId: number;
  readonly #pool: NodePool;

  constructor(root: ExtentNode, nextNodeId: number, pool: NodePool) {
    this.root = root;
    this.nextNodeId = nextNodeId;
    this.#pool = pool;
  }

  /** Bytes. */
  get length(): number {
    return this.root.bytes;
  }

  append(unit: number, offset: number, length: number): void {
    const { root } = this;
    if (root.leaf && root.count < NODE_ENTRIES_MAX) {
      this.#pool.touch(root);
      this.#append(root, unit, offset, length);
      return;
    }
    if (length > 0 && !this.#appendBelow(root, unit, offset, length)) {
      this.splice(root.bytes, 0, [{ unit, offset, length }]);
    }
  }

  /** Down the right edge, in place; false when the last leaf is full. */
  #appendBelow(node: ExtentNode, unit: number, offset: number, length: number): boolean {
    if (node.leaf) {
      if (node.count >= NODE_ENTRIES_MAX) return false;
      this.#pool.touch(node);
      this.#append(node, unit, offset, length);
      return true;
    }
    if (!this.#appendBelow(this.#kid(node, node.kids.length - 1), unit, offset, length))
      return false;
    this.#pool.touch(node);
    node.lastKidGrew(length);
    return true;
  }

  #append(leaf: ExtentNode, unit: number, offset: number, length: number): void {
    const before = leaf.count;
    leaf.append(unit, offset, length);
    this.#pool.counted(leaf.count - before);
  }

  /** Replaces `remove` bytes at `offset`; returns what was there. */
  splice(offset: number, remove: number, extents: readonly Extent[]): Extent[] {
    const { root } = this;
    assert(
      offset >= 0 && remove >= 0 && offset + remove <= root.bytes,
      "a splice lies in its file",
    );
    const removed: number[] = [];
    const items: number[] = [];
    for (const extent of extents) pushExtent(items, extent.unit, extent.offset, extent.length);
    const nodes = this.#replace(root, offset, offset + remove, items, removed);
    if (nodes.length > 1) this.#grow(nodes);
    // A root stays when its last child goes, and is a leaf again.
    else if (root.count === 0) root.assign(true, [], []);
    while (!root.leaf && root.kids.length === 1) this.#collapse();
    return toExtents(removed);
  }

  /** The extents of a range, cut at its ends; shorter at the end of the file. */
  slice(offset: number, length: number): Extent[] {
    const items: number[] = [];
    this.#collect(this.root, offset, offset + length, items);
    return toExtents(items);
  }

  /** The first `countMax` extents of what stands from `offset` on: the work does not grow with the file. */
  extentsFrom(offset: number, countMax: number): Extent[] {
    const items: number[] = [];
    this.#collect(this.root, offset, this.length, items, countMax * EXTENT_WIDTH);
    if (items.length > countMax * EXTENT_WIDTH) items.length = countMax * EXTENT_WIDTH;
    return toExtents(items);
  }

  /** Extents in the leaves; one that goes on in the next leaf counts as two. */
  count(node: ExtentNode = this.root): number {
    if (node.leaf) return node.count;
    let count = 0;
    for (let k = 0; k < node.kids.length; k++) count += this.count(this.#kid(node, k));
    return count;
  }

  /** Drops children that equal the index from memory; returns how many are left. */
  unload(node: ExtentNode = this.root): number {
    let left = 0;
    for (let k = 0; k < node.kids.length; k++) {
      const kid = node.kids[k];
      if (kid === undefined) continue;
      const inKid = kid.leaf ? 0 : this.unload(kid);
      if (inKid === 0 && kid.generation === 0) node.kids[k] = undefined;
      else left += inKid + 1;
    }
    return left;
  }

  check(): void {
    this.#checkNode(this.root);
  }

  /** Depth below the node; asserts the invariants of the head comment. */
  #checkNode(node: ExtentNode): number {
    const { count, items } = node;
    assert(count <= NODE_ENTRIES_MAX, `node ${node.id} has ${count} entries`);
    assert(count > 0 || node.id === ROOT_ID, `node ${node.id} is empty`);
    if (node.leaf) {
      for (let k = 0; k < items.length; k += EXTENT_WIDTH) {
        assert((items[k + 2] as number) > 0, `node ${node.id} has an empty extent`);
        assert(
          k === 0 ||
            !continues(items, k - EXTENT_WIDTH, items[k] as number, items[k + 1] as number),
          `node ${node.id} has neighbours that are one`,
        );
      }
      return 1;
    }
    const depths = new Set<number>();
    for (let k = 0; k < count; k++) {
      const kid = this.#kid(node, k);
      assert(kid.bytes === items[k * CHILD_WIDTH + 1], `node ${node.id} miscounts child ${k}`);
      depths.add(this.#checkNode(kid));
    }
    assert(depths.size === 1, `node ${node.id} has leaves of several depths`);
    return 1 + ([...depths][0] as number);
  }

  #kid(node: ExtentNode, place: number): ExtentNode {
    let kid = node.kids[place];
    if (kid === undefined) {
      kid = this.#pool.load(node.ino, node.items[place * CHILD_WIDTH] as number);
      node.kids[place] = kid;
    }
    return kid;
  }

  #make(leaf: boolean, items: number[], kids: (ExtentNode | undefined)[]): ExtentNode {
    const node = new ExtentNode(this.root.ino, this.nextNodeId++, leaf, []);
    this.#pool.touch(node);
    node.assign(leaf, items, kids);
    this.#pool.made();
    return node;
  }

  /** A tree that outgrew its root: the root's own content moves into a new node below it. */
  #grow(nodes: ExtentNode[]): void {
    const { root } = this;
    let level = nodes.map((node) =>
      node === root ? this.#make(root.leaf, [...root.items], root.kids) : node,
    );
    while (level.length > NODE_ENTRIES_MAX) {
      level = chunked(level, NODE_ENTRIES_MAX).map((kids) =>
        this.#make(false, childItems(kids), kids),
      );
    }
    root.assign(false, childItems(level), level);
  }

  #collapse(): void {
    const { root } = this;
    const kid = this.#kid(root, 0);
    this.#remove(kid);
    root.assign(kid.leaf, [...kid.items], kid.kids);
  }

  #remove(node: ExtentNode): void {
    this.#pool.touch(node);
    node.removed = true;
  }

  /** Replaces [start, end) below a node; returns the nodes that now stand in its place. */
  #replace(
    node: ExtentNode,
    start: number,
    end: number,
    items: number[],
    removed: number[],
  ): ExtentNode[] {
    this.#pool.touch(node);
    if (!node.leaf) return this.#replaceInner(node, start, end, items, removed);
    if (start === end && start === node.bytes && items.length === EXTENT_WIDTH) {
      if (node.count < NODE_ENTRIES_MAX) {
        this.#append(node, items[0] as number, items[1] as number, items[2] as number);
        return [node];
      }
    }
    const appended = end >= node.bytes;
    const before = node.count;
    node.replace(start, end, items, removed);
    this.#pool.counted(node.count - before);
    if (node.count > 0 && node.count <= NODE_ENTRIES_MAX) return [node];
    const list = [...node.items];
    return this.#spread(node, list, [], appended);
  }

  #replaceInner(
    node: ExtentNode,
    start: number,
    end: number,
    items: number[],
    removed: number[],
  ): ExtentNode[] {
    const { items: numbers } = node;
    const count = node.kids.length;
    let first = 0;
    let firstStart = 0;
    while (first < count - 1 && firstStart + (numbers[first * CHILD_WIDTH + 1] as number) < start) {
      firstStart += numbers[first * CHILD_WIDTH + 1] as number;
      first++;
    }
    let last = first;
    let lastStart = firstStart;
    while (last < count - 1 && lastStart + (numbers[last * CHILD_WIDTH + 1] as number) < end) {
      lastStart += numbers[last * CHILD_WIDTH + 1] as number;
      last++;
    }
    const firstKid = this.#kid(node, first);
    const middle: (ExtentNode | undefined)[] = [];
    if (first === last) {
      const kids = this.#replace(firstKid, start - firstStart, end - firstStart, items, removed);
      if (kids.length === 1 && kids[0] === firstKid && firstKid.count > SMALL_ENTRIES_MAX) {
        node.kidChanged(first, firstKid.bytes);
        return [node];
      }
      middle.push(...kids);
    } else {
      const cut = firstKid.bytes;
      middle.push(...this.#replace(firstKid, start - firstStart, cut, items, removed));
      for (let k = first + 1; k < last; k++) this.#removeBelow(this.#kid(node, k), removed);
      const lastKid = this.#kid(node, last);
      middle.push(...this.#replace(lastKid, 0, end - lastStart, [], removed));
    }
    const kids = [...node.kids.slice(0, first), ...middle, ...node.kids.slice(last + 1)];
    const list = [
      ...numbers.slice(0, first * CHILD_WIDTH),
      ...childItems(middle as ExtentNode[]),
      ...numbers.slice((last + 1) * CHILD_WIDTH),
    ];
    this.#mergeSmall(node, list, kids, first, first + middle.length);
    return this.#spread(node, list, kids, end >= node.bytes);
  }

  /** Makes one node of small neighbours among the children [from, to) and next to them. */
  #mergeSmall(
    node: ExtentNode,
    list: number[],
    kids: (ExtentNode | undefined)[],
    from: number,
    to: number,
  ): void {
    const at = (place: number): ExtentNode => {
      let kid = kids[place];
      if (kid === undefined) {
        kid = this.#pool.load(node.ino, list[place * CHILD_WIDTH] as number);
        kids[place] = kid;
      }
      return kid;
    };
    let place = Math.max(0, from - 1);
    let end = to;
    while (place < end && place + 1 < kids.length) {
      const changed = at(place >= from ? place : place + 1);
      if (
        changed.count > SMALL_ENTRIES_MAX ||
        at(place).count + at(place + 1).count > MERGED_ENTRIES_MAX
      ) {
        place++;
        continue;
      }
      const left = at(place);
      const right = at(place + 1);
      this.#pool.touch(left);
      const items = left.items.slice();
      if (left.leaf) {
        cutExtents(right.items, 0, right.bytes, items);
        this.#pool.counted(items.length / EXTENT_WIDTH - left.count - right.count);
      } else {
        items.push(...right.items);
      }
      left.assign(left.leaf, items, [...left.kids, ...right.kids]);
      this.#remove(right);
      kids.splice(place + 1, 1);
      list.splice((place + 1) * CHILD_WIDTH, CHILD_WIDTH);
      list[place * CHILD_WIDTH + 1] = left.bytes;
      end--;
    }
  }

  /** Puts a list into a node and as many new ones as it needs: full ones when the file grows at its end. */
  #spread(
    node: ExtentNode,
    list: number[],
    kids: (ExtentNode | undefined)[],
    appended: boolean,
  ): ExtentNode[] {
    const width = node.leaf ? EXTENT_WIDTH : CHILD_WIDTH;
    const count = list.length / width;
    if (count <= NODE_ENTRIES_MAX) {
      node.assign(node.leaf, list, kids);
      if (count > 0 || node.id === ROOT_ID) return [node];
      this.#remove(node);
      return [];
    }
    const parts = Math.ceil(count / NODE_ENTRIES_MAX);
    const each = appended ? NODE_ENTRIES_MAX : Math.ceil(count / parts);
    const nodes: ExtentNode[] = [];
    for (let from = 0; from < count; from += each) {
      const items = list.slice(from * width, (from + each) * width);
      const part = node.leaf ? [] : kids.slice(from, from + each);
      if (from > 0) {
        nodes.push(this.#make(node.leaf, items, part));
        continue;
      }
      node.assign(node.leaf, items, part);
      nodes.push(node);
    }
    return nodes;
  }

  #removeBelow(node: ExtentNode, removed: number[]): void {
    if (node.leaf) {
      this.#pool.counted(-node.count);
      cutExtents(node.items, 0, node.bytes, removed);
    } else {
      for (let k = 0; k < node.kids.length; k++) this.#removeBelow(this.#kid(node, k), removed);
    }
    this.#remove(node);
  }

  /** Stops behind the leaf with which there are `enough` numbers. */
  #collect(
    node: ExtentNode,
    start: number,
    end: number,
    into: number[],
    enough: number = Infinity,
  ): void {
    if (node.leaf) {
      cutExtents(node.items, start, end, into);
      return;
    }
    let at = 0;
    const { items } = node;
    for (let k = 0; k < node.kids.length && at < end && into.length < enough; k++) {
      const bytes = items[k * CHILD_WIDTH + 1] as number;
      if (at + bytes > start) this.#collect(this.#kid(node, k), start - at, end - at, into, enough);
      at += bytes;
    }
  }
}

/** Appends the part [start, end) of a leaf's extents to a list. */
function cutExtents(items: readonly number[], start: number, end: number, into: number[]): void {
  let at = 0;
  for (let k = 0; k < items.length && at < end; k += EXTENT_WIDTH) {
    const length = items[k + 2] as number;
    const from = Math.max(start, at);
    const to = Math.min(end, at + length);
    if (from < to) {
      pushExtent(into, items[k] as number, (items[k + 1] as number) + (from - at), to - from);
    }
    at += length;
  }
}

function childItems(kids: readonly ExtentNode[]): number[] {
  const items: number[] = [];
  for (const kid of kids) items.push(kid.id, kid.bytes);
  return items;
}

function chunked<T>(list: readonly T[], size: number): T[][] {
  const parts: T[][] = [];
  for (let k = 0; k < list.length; k += size) parts.push(list.slice(k, k + size));
  return parts;
}

function toExtents(items: readonly number[]): Extent[] {
  const extents: Extent[] = [];
  for (let k = 0; k < items.length; k += EXTENT_WIDTH) {
    extents.push({
      unit: items[k] as number,
      offset: items[k + 1] as number,
      length: items[k + 2] as number,
    });
  }
  return extents;
}

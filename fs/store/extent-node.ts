/**
 * A node of a file's extent tree. A leaf holds extents, an inner node the ids and byte lengths of its
 * children; both as one flat list of numbers, because a big mailbox has many.
 */
import type { ByteReader, ByteWriter } from "../../base/bytes.ts";
import { ByteWriter as Writer } from "../../base/bytes.ts";
import { nodeKey } from "./keys.ts";
import type { RowBatch } from "./row.ts";
import { Row } from "./row.ts";

/** Numbers for each extent in a leaf: unit, offset, length. */
export const EXTENT_WIDTH = 3;
/** Numbers for each child in an inner node: id, bytes. */
export const CHILD_WIDTH = 2;
/** Entries in one node. Small, because a delivery rewrites the last leaf of each mailbox once for a checkpoint. */
export const NODE_ENTRIES_MAX = 64;
/** The id of a tree's root, which is stored in the inode's row. */
export const ROOT_ID = 0;

const out = new Writer(1024);

export class ExtentNode extends Row {
  readonly ino: number;
  readonly id: number;
  leaf: boolean;
  items: number[];
  /** Inner nodes: the children that are in memory, at their places. */
  kids: (ExtentNode | undefined)[];
  bytes: number;
  /** The row that a root is part of. */
  owner: Row | undefined = undefined;

  constructor(ino: number, id: number, leaf: boolean, items: number[]) {
    super();
    this.ino = ino;
    this.id = id;
    this.leaf = leaf;
    this.items = items;
    this.kids = leaf ? [] : Array.from({ length: items.length / CHILD_WIDTH }, () => undefined);
    this.bytes = sumOfLengths(leaf, items);
  }

  get count(): number {
    return this.items.length / (this.leaf ? EXTENT_WIDTH : CHILD_WIDTH);
  }

  /** Takes over a list that was changed. */
  assign(leaf: boolean, items: number[], kids: (ExtentNode | undefined)[]): void {
    this.leaf = leaf;
    this.items = items;
    this.kids = kids;
    this.bytes = sumOfLengths(leaf, items);
  }

  override write(batch: RowBatch): void {
    const key = nodeKey(this.ino, this.id);
    if (this.removed) {
      batch.del(key);
      return;
    }
    out.reset();
    encodeNode(out, this);
    batch.put(key, out.view());
  }
}

function sumOfLengths(leaf: boolean, items: readonly number[]): number {
  const width = leaf ? EXTENT_WIDTH : CHILD_WIDTH;
  let bytes = 0;
  for (let k = width - 1; k < items.length; k += width) bytes += items[k] as number;
  return bytes;
}

export function encodeNode(to: ByteWriter, node: ExtentNode): void {
  const items = node.items;
  to.u8(node.leaf ? 1 : 0);
  to.varint(node.count);
  if (!node.leaf) {
    for (const number of items) to.varint(number);
    return;
  }
  let unit = 0;
  for (let k = 0; k < items.length; k += EXTENT_WIDTH) {
    to.signed((items[k] as number) - unit);
    to.varint(items[k + 1] as number);
    to.varint(items[k + 2] as number);
    unit = items[k] as number;
  }
}

export function decodeNode(ino: number, id: number, from: ByteReader): ExtentNode {
  const leaf = from.u8() === 1;
  const count = from.varint();
  const items: number[] = [];
  let unit = 0;
  for (let k = 0; k < count; k++) {
    if (leaf) {
      unit += from.signed();
      items.push(unit, from.varint(), from.varint());
    } else {
      items.push(from.varint(), from.varint());
    }
  }
  return new ExtentNode(ino, id, leaf, items);
}

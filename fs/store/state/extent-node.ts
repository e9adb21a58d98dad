/**
 * A node of a file's extent tree. An inner node holds the ids and byte lengths of its children as one flat
 * list of numbers. A leaf holds extents: those that were read from the index stay packed as they stand
 * there, and those appended since lie behind them in a flat list, because a delivery only ever appends
 * to one of very many mailboxes. Whatever else needs a leaf's extents unpacks it.
 */
import { ByteReader, ByteWriter } from "../../../base/bytes.ts";
import { nodeKey } from "../index/keys.ts";
import type { RowBatch } from "../index/row.ts";
import { Row } from "../index/row.ts";

/** Numbers for each extent in a leaf: unit, offset, length. */
export const EXTENT_WIDTH = 3;
/** Numbers for each child in an inner node: id, bytes. */
export const CHILD_WIDTH = 2;
/** Entries in one node. Not more, because a delivery rewrites the last leaf of each mailbox once for a checkpoint. */
export const NODE_ENTRIES_MAX = 128;
/** The id of a tree's root, which is stored in the inode's row. */
export const ROOT_ID = 0;
/** A leaf with more appended extents than this packs them when it is written. */
const LOOSE_ENTRIES_MAX = 16;

const out = new ByteWriter(1024);

export class ExtentNode extends Row {
  readonly ino: number;
  readonly id: number;
  leaf: boolean;
  /** Inner nodes: the children that are in memory, at their places. */
  kids: (ExtentNode | undefined)[];
  bytes: number;
  /** The row that a root is part of. */
  owner: Row | undefined = undefined;
  /**
   * Leaves: extents as they stand in the index, how many, and the unit of the last one. The bytes are a
   * string (latin1), which is one small object; a Buffer is three and memory outside the heap.
   */
  #packed = "";
  #packedCount = 0;
  #packedUnit = 0;
  /** Entries behind the packed ones. */
  #loose: number[];

  constructor(ino: number, id: number, leaf: boolean, items: number[]) {
    super();
    this.ino = ino;
    this.id = id;
    this.leaf = leaf;
    this.#loose = items;
    this.kids = leaf ? [] : Array.from({ length: items.length / CHILD_WIDTH }, () => undefined);
    this.bytes = sumOfLengths(leaf, items);
  }

  get count(): number {
    return this.#packedCount + this.#loose.length / (this.leaf ? EXTENT_WIDTH : CHILD_WIDTH);
  }

  /** All entries; a packed leaf stays packed, so the list is not to be changed. */
  get items(): readonly number[] {
    if (this.#packedCount === 0) return this.#loose;
    const items = unpack(this.#packed, this.#packedCount);
    for (const number of this.#loose) items.push(number);
    return items;
  }

  override get weight(): number {
    return 24 + this.#packed.length + this.#loose.length * 2;
  }

  /** A leaf's new last extent. */
  append(unit: number, offset: number, length: number): void {
    this.bytes += length;
    if (this.#loose.length === 0 && this.#packedCount > 0 && this.#packedUnit === unit) {
      // It may continue the last packed extent: only then is the whole list needed.
      this.#unpack();
    }
    pushExtent(this.#loose, unit, offset, length);
  }

  /** Replaces [start, end) of a leaf by a list of extents, in place, and appends what was there to `removed`. */
  replace(start: number, end: number, extents: readonly number[], removed: number[]): void {
    this.#unpack();
    const loose = this.#loose;
    const { length } = loose;
    let from = 0;
    let at = 0;
    while (from < length && at + (loose[from + 2] as number) <= start) {
      at += loose[from + 2] as number;
      from += EXTENT_WIDTH;
    }
    // Whole neighbours are looked at too: what comes between may continue them.
    const list: number[] = [];
    const first = from > 0 ? from - EXTENT_WIDTH : 0;
    if (from > 0) pushFrom(list, loose, first);
    if (start > at) pushPart(list, loose, from, 0, start - at);
    let to = from;
    let cutAt = at;
    while (to < length && cutAt < end) {
      const entryEnd = cutAt + (loose[to + 2] as number);
      pushPart(removed, loose, to, Math.max(start - cutAt, 0), Math.min(end, entryEnd) - cutAt);
      cutAt = entryEnd;
      to += EXTENT_WIDTH;
    }
    for (let k = 0; k < extents.length; k += EXTENT_WIDTH) pushFrom(list, extents, k);
    if (cutAt > end) {
      const last = to - EXTENT_WIDTH;
      pushPart(
        list,
        loose,
        last,
        (loose[last + 2] as number) - (cutAt - end),
        loose[last + 2] as number,
      );
    }
    if (to < length) {
      pushFrom(list, loose, to);
      to += EXTENT_WIDTH;
    }
    // Arguments lie on the stack, so a long list is no argument list.
    if (list.length <= NODE_ENTRIES_MAX) loose.splice(first, to - first, ...list);
    else this.#loose = loose.slice(0, first).concat(list, loose.slice(to));
    this.bytes += sumOfLengths(true, extents) - (end - start);
  }

  /** An inner node's last child has this many more bytes. */
  lastKidGrew(length: number): void {
    const last = this.#loose.length - 1;
    this.#loose[last] = (this.#loose[last] as number) + length;
    this.bytes += length;
  }

  /** An inner node's child has so many bytes now. */
  kidChanged(place: number, bytes: number): void {
    const at = place * CHILD_WIDTH + 1;
    this.bytes += bytes - (this.#loose[at] as number);
    this.#loose[at] = bytes;
  }

  /** Takes over a list that was changed. */
  assign(leaf: boolean, items: number[], kids: (ExtentNode | undefined)[]): void {
    this.leaf = leaf;
    this.kids = kids;
    this.#packed = "";
    this.#packedCount = 0;
    this.#loose = items;
    this.bytes = sumOfLengths(leaf, items);
  }

  override write(batch: RowBatch): void {
    const key = nodeKey(this.ino, this.id);
    if (this.removed) {
      batch.del(key);
      return;
    }
    out.reset();
    this.encode(out);
    batch.put(key, out.view());
  }

  /**
   *     inner  0, count, (id, bytes)...
   *     leaf   1, count, bytes, unit of the last extent, (unit difference, offset, length)...
   */
  encode(to: ByteWriter): void {
    to.u8(this.leaf ? 1 : 0);
    to.varint(this.count);
    const loose = this.#loose;
    if (!this.leaf) {
      for (const number of loose) to.varint(number);
      return;
    }
    let unit = this.#packedUnit;
    if (this.#packedCount === 0) unit = 0;
    const lastUnit = loose.length === 0 ? unit : (loose[loose.length - EXTENT_WIDTH] as number);
    to.varint(this.bytes);
    to.varint(lastUnit);
    const start = to.length;
    to.rawText(this.#packed);
    for (let k = 0; k < loose.length; k += EXTENT_WIDTH) {
      to.signed((loose[k] as number) - unit);
      to.varint(loose[k + 1] as number);
      to.varint(loose[k + 2] as number);
      unit = loose[k] as number;
    }
    if (loose.length > LOOSE_ENTRIES_MAX * EXTENT_WIDTH) {
      this.#packedCount = this.count;
      this.#packedUnit = unit;
      this.#packed = to.view().toString("latin1", start);
      this.#loose = [];
    }
  }

  /** The node whose bytes go on to the reader's end. */
  static decode(ino: number, id: number, from: ByteReader): ExtentNode {
    const leaf = from.u8() === 1;
    const count = from.varint();
    if (!leaf) {
      const items: number[] = [];
      for (let k = 0; k < count * CHILD_WIDTH; k++) items.push(from.varint());
      return new ExtentNode(ino, id, false, items);
    }
    const node = new ExtentNode(ino, id, true, []);
    node.bytes = from.varint();
    node.#packedUnit = from.varint();
    node.#packedCount = count;
    node.#packed = from.rawText(from.left);
    return node;
  }

  #unpack(): void {
    if (this.#packedCount === 0) return;
    this.#loose = this.items as number[];
    this.#packed = "";
    this.#packedCount = 0;
  }
}

function unpack(packed: string, count: number): number[] {
  const from = new ByteReader(Buffer.from(packed, "latin1"));
  const items: number[] = [];
  let unit = 0;
  for (let k = 0; k < count; k++) {
    unit += from.signed();
    items.push(unit, from.varint(), from.varint());
  }
  return items;
}

function sumOfLengths(leaf: boolean, items: readonly number[]): number {
  const width = leaf ? EXTENT_WIDTH : CHILD_WIDTH;
  let bytes = 0;
  for (let k = width - 1; k < items.length; k += width) bytes += items[k] as number;
  return bytes;
}

/** Whether an extent that begins at `offset` of a unit goes on where the list's extent at `k` ends. */
export function continues(
  items: readonly number[],
  k: number,
  unit: number,
  offset: number,
): boolean {
  if (items[k] !== unit) return false;
  return unit === 0 || (items[k + 1] as number) + (items[k + 2] as number) === offset;
}

/** Adds an extent to a list, as a part of its last one if it goes on there. */
export function pushExtent(items: number[], unit: number, offset: number, length: number): void {
  if (length === 0) return;
  const last = items.length - EXTENT_WIDTH;
  if (last >= 0 && continues(items, last, unit, offset)) {
    items[last + 2] = (items[last + 2] as number) + length;
  } else {
    items.push(unit, unit === 0 ? 0 : offset, length);
  }
}

function pushFrom(list: number[], items: readonly number[], k: number): void {
  pushExtent(list, items[k] as number, items[k + 1] as number, items[k + 2] as number);
}

/** The bytes [from, to) of the extent at `k`. */
function pushPart(
  list: number[],
  items: readonly number[],
  k: number,
  from: number,
  to: number,
): void {
  pushExtent(list, items[k] as number, (items[k + 1] as number) + from, to - from);
}

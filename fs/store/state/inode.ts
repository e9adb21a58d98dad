/** An inode's row: attributes, extended attributes, and the root of its extent tree. */
import type { ByteReader } from "../../../base/bytes.ts";
import { ByteWriter } from "../../../base/bytes.ts";
import type { Time } from "../../attributes.ts";
import { inodeKey } from "../index/keys.ts";
import type { RowBatch } from "../index/row.ts";
import { Row } from "../index/row.ts";
import { offsetOf, placeOf, segmentOf } from "../records/place.ts";
import { ExtentNode, ROOT_ID } from "./extent-node.ts";
import type { NodePool } from "./extent-tree.ts";
import { ExtentTree } from "./extent-tree.ts";

const EMPTY = Buffer.alloc(0);
const out = new ByteWriter(1024);

export class Inode extends Row {
  readonly ino: number;
  mode = 0;
  uid = 0;
  gid = 0;
  nlink = 0;
  rdev = 0;
  atimeSec = 0;
  atimeNsec = 0;
  mtimeSec = 0;
  mtimeNsec = 0;
  ctimeSec = 0;
  ctimeNsec = 0;
  /** Directories: the parent's inode. */
  parent = 0;
  /** Directories: how many names are in it. */
  entryCount = 0;
  /** Directories: the last cookie that was given to a name. */
  lastCookie = 0;
  /** Directories: how many of the names end in DOTLOCK_SUFFIX; mostly none, which spares a look-up for each delivery. */
  dotlockCount = 0;
  /** Symbolic links: where to. */
  target: Buffer = EMPTY;
  xattrs: Map<string, Buffer> | undefined = undefined;
  /**
   * Where its creation or its last snapshot stands in the log (placeOf): what is said about it before that
   * place is superseded, whether it is still there or not.
   */
  reset = 0;
  tree: ExtentTree;
  /** For whoever walks over many inodes in one turn, to notice one that it met before; not stored. */
  mark = 0;

  constructor(ino: number, pool: NodePool, root?: ExtentNode, nextNodeId?: number) {
    super();
    this.ino = ino;
    this.tree = new ExtentTree(
      root ?? new ExtentNode(ino, ROOT_ID, true, []),
      nextNodeId ?? ROOT_ID + 1,
      pool,
    );
    this.tree.root.owner = this;
  }

  /** Bytes. */
  get size(): number {
    return this.tree.root.bytes;
  }

  /** Bytes of the target and of the extended attributes with their names. */
  get attributeBytes(): number {
    let bytes = this.target.length;
    for (const [name, value] of this.xattrs ?? []) bytes += name.length + value.length;
    return bytes;
  }

  setAtime(time: Time): void {
    this.atimeSec = time.sec;
    this.atimeNsec = time.nsec;
  }

  setMtime(time: Time): void {
    this.mtimeSec = time.sec;
    this.mtimeNsec = time.nsec;
  }

  setCtime(time: Time): void {
    this.ctimeSec = time.sec;
    this.ctimeNsec = time.nsec;
  }

  override get weight(): number {
    return 80 + this.tree.root.weight;
  }

  override write(batch: RowBatch): void {
    if (this.removed) batch.del(inodeKey(this.ino));
    else batch.put(inodeKey(this.ino), encodeInode(this));
  }
}

/** Valid until the next call. */
export function encodeInode(inode: Inode): Buffer {
  out.reset();
  out.varint(inode.mode);
  out.varint(inode.uid);
  out.varint(inode.gid);
  out.varint(inode.nlink);
  out.varint(inode.rdev);
  out.signed(inode.atimeSec);
  out.varint(inode.atimeNsec);
  out.signed(inode.mtimeSec);
  out.varint(inode.mtimeNsec);
  out.signed(inode.ctimeSec);
  out.varint(inode.ctimeNsec);
  out.varint(inode.parent);
  out.varint(inode.entryCount);
  out.varint(inode.lastCookie);
  out.varint(inode.dotlockCount);
  out.bytes(inode.target);
  out.varint(inode.xattrs?.size ?? 0);
  for (const [name, value] of inode.xattrs ?? []) {
    out.text(name);
    out.bytes(value);
  }
  out.varint(segmentOf(inode.reset));
  out.varint(offsetOf(inode.reset));
  out.varint(inode.tree.nextNodeId);
  inode.tree.root.encode(out);
  return out.view();
}

export function decodeInode(ino: number, from: ByteReader, pool: NodePool): Inode {
  const mode = from.varint();
  const uid = from.varint();
  const gid = from.varint();
  const nlink = from.varint();
  const rdev = from.varint();
  const atime = { sec: from.signed(), nsec: from.varint() };
  const mtime = { sec: from.signed(), nsec: from.varint() };
  const ctime = { sec: from.signed(), nsec: from.varint() };
  const parent = from.varint();
  const entryCount = from.varint();
  const lastCookie = from.varint();
  const dotlockCount = from.varint();
  const target = Buffer.from(from.bytes());
  let xattrs: Map<string, Buffer> | undefined;
  for (let left = from.varint(); left > 0; left--) {
    xattrs ??= new Map();
    const name = from.text();
    xattrs.set(name, Buffer.from(from.bytes()));
  }
  const resetSegment = from.varint();
  const reset = placeOf(resetSegment, from.varint());
  const nextNodeId = from.varint();
  const inode = new Inode(ino, pool, ExtentNode.decode(ino, ROOT_ID, from), nextNodeId);
  inode.mode = mode;
  inode.uid = uid;
  inode.gid = gid;
  inode.nlink = nlink;
  inode.rdev = rdev;
  inode.setAtime(atime);
  inode.setMtime(mtime);
  inode.setCtime(ctime);
  inode.parent = parent;
  inode.entryCount = entryCount;
  inode.lastCookie = lastCookie;
  inode.dotlockCount = dotlockCount;
  inode.target = target.length === 0 ? EMPTY : target;
  inode.xattrs = xattrs;
  inode.reset = reset;
  return inode;
}

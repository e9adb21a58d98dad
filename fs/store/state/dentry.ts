/**
 * A name in a directory: two rows of the index, one found by name and one in the order of cookies.
 * A name that is removed and made again before a checkpoint keeps its cookie.
 */
import type { ByteReader } from "../../../base/bytes.ts";
import { ByteWriter } from "../../../base/bytes.ts";
import { cookieKey, nameKey } from "../index/keys.ts";
import type { RowBatch } from "../index/row.ts";
import { Row } from "../index/row.ts";
import type { Inode } from "./inode.ts";

const out = new ByteWriter(300);

export class Dentry extends Row {
  readonly parent: number;
  readonly name: string;
  readonly cookie: number;
  ino: number;
  /** S_IFMT bits. */
  fileType: number;
  /** The inode's row, if it was looked up and is still the one in memory (State.named). */
  inode: Inode | undefined = undefined;

  constructor(parent: number, name: string, cookie: number, ino: number, fileType: number) {
    super();
    this.parent = parent;
    this.name = name;
    this.cookie = cookie;
    this.ino = ino;
    this.fileType = fileType;
  }

  override write(batch: RowBatch): void {
    if (this.removed) {
      batch.del(nameKey(this.parent, this.name));
      batch.del(cookieKey(this.parent, this.cookie));
      return;
    }
    out.reset();
    out.varint(this.ino);
    out.varint(this.fileType);
    out.varint(this.cookie);
    batch.put(nameKey(this.parent, this.name), out.view());
    out.reset();
    out.varint(this.ino);
    out.varint(this.fileType);
    out.text(this.name);
    batch.put(cookieKey(this.parent, this.cookie), out.view());
  }
}

/** The row that is found by name. */
export function decodeNameRow(parent: number, name: string, from: ByteReader): Dentry {
  const ino = from.varint();
  const fileType = from.varint();
  return new Dentry(parent, name, from.varint(), ino, fileType);
}

/** The row that stands in the order of cookies. */
export function decodeCookieRow(parent: number, cookie: number, from: ByteReader): Dentry {
  const ino = from.varint();
  const fileType = from.varint();
  return new Dentry(parent, from.text(), cookie, ino, fileType);
}

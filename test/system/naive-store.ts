/**
 * What a store holds, told by its changes alone: every file is one buffer. The model that the store is compared
 * with after a crash. It takes changes that fit (validate.ts); not here: what is refused.
 */
import { createHash } from "node:crypto";
import { isDirectory } from "../../fs/attributes.ts";
import type { Time } from "../../fs/attributes.ts";
import type { Change, Extent, InodeChange, PendChange } from "../../fs/store/records/change.ts";
import { ROOT_INO } from "../../fs/store/state/counters.ts";
import { isOffcut } from "../../fs/store/records/offcut.ts";
import type { Store } from "../../fs/store/store.ts";

export interface NaiveInode extends Omit<InodeChange, "type" | "mapFrom"> {
  readonly xattrs: ReadonlyMap<string, Buffer>;
  readonly bytes: Buffer;
}

export interface NaiveName {
  readonly parent: number;
  readonly name: string;
  readonly ino: number;
  readonly fileType: number;
}

const EMPTY = Buffer.alloc(0);

export class NaiveStore {
  readonly units = new Map<number, Buffer>();
  readonly inodes = new Map<number, NaiveInode>();
  readonly names = new Map<string, NaiveName>();
  readonly pending = new Map<number, { change: PendChange; bytes: Buffer }>();

  apply(change: Change): void {
    switch (change.type) {
      case "inode": {
        const { type: _, mapFrom: __, ...attributes } = change;
        const known = this.inodes.get(change.ino);
        const { xattrs = new Map<string, Buffer>(), bytes = EMPTY } = known ?? {};
        this.inodes.set(change.ino, { ...attributes, xattrs, bytes });
        return;
      }
      case "attributes": {
        const { type: _, ...attributes } = change;
        this.#set(change.ino, attributes);
        return;
      }
      case "splice":
        this.#splice(change.ino, change.offset, change.remove, this.bytesOf(change.extents));
        return;
      case "map": {
        const bytes = this.bytesOf(change.extents);
        const left = this.inode(change.ino).bytes.length - change.offset;
        this.#splice(change.ino, change.offset, change.last ? left : bytes.length, bytes);
        return;
      }
      case "cut": {
        const { bytes } = this.inode(change.ino);
        this.#set(change.to, { bytes: bytes.subarray(change.offset) });
        this.#set(change.ino, { bytes: bytes.subarray(0, change.offset) });
        return;
      }
      case "deliver":
        for (const { ino, private: own } of change.targets) {
          const extents = [...(own === undefined ? [] : [own]), ...change.shared];
          this.#splice(ino, this.inode(ino).bytes.length, 0, this.bytesOf(extents));
          this.#set(ino, { mtime: change.time, ctime: change.time });
        }
        return;
      case "name": {
        const { type: _, ...name } = change;
        this.names.set(`${change.parent}/${change.name}`, name);
        return;
      }
      case "unname":
        this.names.delete(`${change.parent}/${change.name}`);
        return;
      case "dropInode":
        this.inodes.delete(change.ino);
        return;
      case "xattr": {
        const xattrs = new Map(this.inode(change.ino).xattrs);
        if (change.value === undefined) xattrs.delete(change.name);
        else xattrs.set(change.name, change.value);
        this.#set(change.ino, { xattrs });
        return;
      }
      case "pend":
        if (this.pending.has(change.id)) return;
        this.pending.set(change.id, { change, bytes: this.bytesOf(change.extents) });
        return;
      case "unpend":
        this.pending.delete(change.id);
        return;
      // Notes of cleaning.
      case "absentName":
      case "absentInode":
      case "absentPending":
      case "removed":
        return;
    }
  }

  inode(ino: number): NaiveInode {
    const inode = this.inodes.get(ino);
    if (inode === undefined) throw new Error(`the model has no inode ${ino}`);
    return inode;
  }

  bytesOf(extents: readonly Extent[]): Buffer {
    return Buffer.concat(
      extents.map(({ unit, offset, length }) => {
        if (unit === 0) return Buffer.alloc(length);
        const bytes = this.units.get(unit)?.subarray(offset, offset + length);
        if (bytes?.length !== length) throw new Error(`the model has no such bytes of ${unit}`);
        return bytes;
      }),
    );
  }

  /** All of it as lines of text. */
  picture(): string {
    const lines: string[] = [];
    for (const inode of this.inodes.values()) lines.push(inodeLine(inode));
    for (const name of this.names.values()) lines.push(nameLine(name));
    for (const { change, bytes } of this.pending.values()) lines.push(pendingLine(change, bytes));
    return lines.sort().join("\n");
  }

  #set(ino: number, changed: Partial<NaiveInode>): void {
    this.inodes.set(ino, { ...this.inode(ino), ...changed });
  }

  #splice(ino: number, offset: number, remove: number, bytes: Buffer): void {
    const old = this.inode(ino).bytes;
    const [before, behind] = [old.subarray(0, offset), old.subarray(offset + remove)];
    this.#set(ino, { bytes: Buffer.concat([before, bytes, behind]) });
  }
}

/** The same lines, from a store. */
export async function pictureOf(store: Store): Promise<string> {
  const lines: string[] = [];
  const { nextIno } = store.internals().state.counters;
  for (let ino = ROOT_INO; ino < nextIno; ino++) {
    const inode = store.inode(ino);
    if (inode === undefined) continue;
    const { mode, uid, gid, nlink, rdev, parent, target, size } = inode;
    const atime = { sec: inode.atimeSec, nsec: inode.atimeNsec };
    const mtime = { sec: inode.mtimeSec, nsec: inode.mtimeNsec };
    const ctime = { sec: inode.ctimeSec, nsec: inode.ctimeNsec };
    const xattrs = inode.xattrs ?? new Map<string, Buffer>();
    const times = { atime, mtime, ctime };
    const bytes = store.read(ino, 0, size);
    lines.push(
      inodeLine({ ino, mode, uid, gid, nlink, rdev, parent, target, xattrs, bytes, ...times }),
    );
    if (isDirectory(mode)) lines.push(...(await namesIn(store, ino)));
  }
  for (const pending of store.allPending()) {
    const bytes = pending.extents.map(({ unit, offset, length }) =>
      store.readUnit(unit, offset, length),
    );
    lines.push(pendingLine({ type: "pend", ...pending }, Buffer.concat(bytes)));
  }
  return lines.sort().join("\n");
}

async function namesIn(store: Store, parent: number): Promise<string[]> {
  const lines: string[] = [];
  const stream = store.openDirectory(parent);
  for (const { name, ino, type: fileType } of await stream.read(0, Infinity)) {
    if (store.lookup(parent, name) !== ino) throw new Error(`${name} is listed and not found`);
    lines.push(nameLine({ parent, name, ino, fileType }));
  }
  await stream.close();
  return lines;
}

const hashes = new WeakMap<Buffer, string>();

function inodeLine(inode: NaiveInode): string {
  const { ino, mode, uid, gid, nlink, rdev, parent, target, xattrs, bytes } = inode;
  const numbers = [mode.toString(8), uid, gid, nlink, rdev, parent].join(" ");
  const times = [inode.atime, inode.mtime, inode.ctime].map(timeText).join(" ");
  // An index that is made from a log with gaps has an offcut without its bytes.
  const content = isOffcut(mode) ? "an offcut" : hashOf(bytes);
  const pairs = [...xattrs].map(([name, value]) => `${name}=${value.toString("latin1")}`);
  return `inode ${ino}: ${numbers} ${times} -> ${target.toString("latin1")} [${pairs.sort().join()}] ${content}`;
}

function nameLine({ parent, name, ino, fileType }: NaiveName): string {
  return `name ${parent}/${name}: ${ino} ${fileType.toString(8)}`;
}

function pendingLine(change: PendChange, bytes: Buffer): string {
  const { id, parent, name, time, mode, uid, gid } = change;
  return `pending ${id}: ${parent}/${name} ${timeText(time)} ${mode} ${uid} ${gid} ${hashOf(bytes)}`;
}

function timeText({ sec, nsec }: Time): string {
  return `${sec}.${nsec}`;
}

function hashOf(bytes: Buffer): string {
  let hash = hashes.get(bytes);
  if (hash === undefined) {
    hash = `${bytes.length} bytes ${createHash("sha1").update(bytes).digest("hex")}`;
    hashes.set(bytes, hash);
  }
  return hash;
}

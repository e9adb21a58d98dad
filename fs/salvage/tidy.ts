/**
 * Makes a salvaged store sound: link counts are those of the names, names without a file go, what has no name gets one
 * in /lost+found.
 */
import { ByteReader } from "../../base/bytes.ts";
import { isDirectory, S_IFDIR, S_IFMT, S_IFREG } from "../attributes.ts";
import type { Change } from "../store/records/change.ts";
import { ROOT_INO } from "../store/state/counters.ts";
import { decodeNameRow } from "../store/state/dentry.ts";
import type { Inode } from "../store/state/inode.ts";
import { isOffcut } from "../store/records/offcut.ts";
import { firstNumber, kindRange } from "../store/index/keys.ts";
import type { Store } from "../store/store.ts";
import { systemTime } from "../store/store.ts";
import type { SalvagedUnits } from "./units.ts";

export const LOST_AND_FOUND = "lost+found";

interface Name {
  readonly parent: number;
  readonly name: string;
  readonly ino: number;
  readonly fileType: number;
}

export interface PutInOrder {
  /** What came into /lost+found. */
  readonly names: readonly string[];
  /** Inodes that were there before. */
  readonly inos: readonly number[];
  pathsOf(inos: readonly number[]): Map<number, string[]>;
}

export async function putInOrder(
  store: Store,
  unnamed: readonly number[],
  units: SalvagedUnits,
): Promise<PutInOrder> {
  const tidy = new Tidy(store);
  await tidy.read();
  tidy.removeDangling();
  tidy.keepOneNameOfDirectories();
  tidy.addUnits(unnamed, units);
  tidy.nameTheNameless();
  tidy.countLinks();
  await store.durable();
  return { names: tidy.found, inos: tidy.inos, pathsOf: (inos) => tidy.pathsOf(inos) };
}

class Tidy {
  readonly found: string[] = [];
  readonly inos: number[] = [];
  readonly #store: Store;
  #names: Name[] = [];
  #lostAndFound = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  async read(): Promise<void> {
    await this.#store.checkpoint();
    const { index } = this.#store.internals();
    await index.each(kindRange("d"), (key, value) => {
      const parent = firstNumber(key);
      const name = key.toString("latin1", 7);
      const { ino, fileType } = decodeNameRow(parent, name, new ByteReader(value));
      this.#names.push({ parent, name, ino, fileType });
    });
    await index.each(kindRange("i"), (key) => this.inos.push(firstNumber(key)));
  }

  removeDangling(): void {
    const keep: Name[] = [];
    for (const one of this.#names) {
      const { parent, name, ino } = one;
      const inode = this.#store.inode(ino);
      const directory = this.#store.inode(parent);
      const isNamed = inode !== undefined && !isOffcut(inode.mode) && !isRemoved(inode);
      if (isNamed && directory !== undefined && !isRemoved(directory)) {
        const fileType = inode.mode & S_IFMT;
        if (fileType !== one.fileType) {
          this.#store.commit([{ type: "name", parent, name, ino, fileType }]);
        }
        keep.push(one);
      } else if (directory !== undefined) {
        this.#store.commit([{ type: "unname", parent, name }]);
      }
    }
    this.#names = keep;
  }

  /** And none that leads round in a circle. */
  keepOneNameOfDirectories(): void {
    const nameOf = new Map<number, Name>();
    this.#names = this.#names.filter((one) => {
      const { ino, parent, name } = one;
      const inode = this.#store.inode(ino);
      if (inode === undefined || !isDirectory(inode.mode)) return true;
      let at = parent;
      while (at !== ROOT_INO && at !== ino && nameOf.has(at))
        at = nameOf.get(at)?.parent ?? ROOT_INO;
      if (ino !== ROOT_INO && at !== ino && !nameOf.has(ino)) {
        nameOf.set(ino, one);
        if (inode.parent !== parent) this.#store.commit([{ type: "attributes", ino, parent }]);
        return true;
      }
      this.#store.commit([{ type: "unname", parent, name }]);
      return false;
    });
  }

  addUnits(unnamed: readonly number[], units: SalvagedUnits): void {
    for (const unit of unnamed) {
      const extents = units.whole(unit);
      if (extents.length === 0) continue;
      const ino = this.#store.newIno();
      this.#store.commit([
        newInode(ino, S_IFREG | 0o600, 0),
        { type: "splice", ino, offset: 0, remove: 0, extents },
      ]);
      this.#name(ino, `unit-${unit}`);
    }
  }

  nameTheNameless(): void {
    const named = new Set(this.#names.map(({ ino }) => ino));
    for (const ino of this.inos) {
      const found = this.#store.inode(ino);
      if (found === undefined || ino === ROOT_INO || named.has(ino)) continue;
      if (found.nlink > 0 && !isOffcut(found.mode)) this.#name(ino, `inode-${ino}`);
      else
        this.#store.commit([
          { type: "attributes", ino, nlink: 0 },
          { type: "dropInode", ino },
        ]);
    }
  }

  countLinks(): void {
    const links = new Map<number, number>();
    const add = (ino: number): void => void links.set(ino, (links.get(ino) ?? 0) + 1);
    for (const { parent, ino } of this.#names) {
      add(ino);
      if (isDirectory(this.#store.inode(ino)?.mode ?? 0)) add(parent);
    }
    for (const { ino } of [...this.#names, { ino: ROOT_INO }]) {
      const found = this.#store.inode(ino);
      if (found === undefined) continue;
      // A directory's own ".", and the root's "..".
      const own = (isDirectory(found.mode) ? 1 : 0) + (ino === ROOT_INO ? 1 : 0);
      const nlink = (links.get(ino) ?? 0) + own;
      if (found.nlink !== nlink) this.#store.commit([{ type: "attributes", ino, nlink }]);
    }
  }

  #name(ino: number, name: string): void {
    const parent = this.#directory();
    const fileType = (this.#store.inode(ino)?.mode ?? 0) & S_IFMT;
    const changes: Change[] = [{ type: "name", parent, name, ino, fileType }];
    if (fileType === S_IFDIR) changes.push({ type: "attributes", ino, parent });
    this.#store.commit(changes);
    this.#names.push({ parent, name, ino, fileType });
    this.found.push(name);
  }

  /** Root's alone: whose mail is in it is not known. */
  #directory(): number {
    if (this.#lostAndFound !== 0) return this.#lostAndFound;
    let name = LOST_AND_FOUND;
    while (this.#store.lookup(ROOT_INO, name) !== 0) name += "+";
    const ino = this.#store.newIno();
    this.#store.commit([
      newInode(ino, S_IFDIR | 0o700, ROOT_INO),
      { type: "name", parent: ROOT_INO, name, ino, fileType: S_IFDIR },
    ]);
    this.#names.push({ parent: ROOT_INO, name, ino, fileType: S_IFDIR });
    this.#lostAndFound = ino;
    return ino;
  }

  pathsOf(inos: readonly number[]): Map<number, string[]> {
    const wanted = new Set(inos);
    const byIno = new Map(this.#names.map((one) => [one.ino, one]));
    const paths = new Map<number, string[]>();
    for (const { ino, parent, name } of this.#names) {
      if (!wanted.has(ino)) continue;
      const parts = [name];
      for (let at = parent; at !== ROOT_INO;) {
        const above = byIno.get(at);
        if (above === undefined) break;
        parts.unshift(above.name);
        at = above.parent;
      }
      paths.set(ino, [...(paths.get(ino) ?? []), parts.join("/")]);
    }
    return paths;
  }
}

/** A directory that was removed has nothing in it. */
function isRemoved({ mode, nlink }: Inode): boolean {
  return isDirectory(mode) && nlink === 0;
}

function newInode(ino: number, mode: number, parent: number): Change {
  const time = systemTime();
  return {
    type: "inode",
    ino,
    mode,
    uid: 0,
    gid: 0,
    nlink: 1,
    rdev: 0,
    atime: time,
    mtime: time,
    ctime: time,
    parent,
    target: Buffer.alloc(0),
  };
}

/**
 * Random operations on a store, and what it must hold after them, for the tests of cleaning: every kind of
 * change, on files that are named, linked, renamed over each other, open without a name, or waiting.
 */
import { S_IFDIR, S_IFREG } from "../fs/attributes.ts";
import type { Change, Extent } from "../fs/store/records/change.ts";
import { OFFCUT_MODE } from "../fs/store/records/offcut.ts";
import type { Store } from "../fs/store/store.ts";

const NOTHING = Buffer.alloc(0);

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed >>> 0) + 1;
  }

  /** 0 <= n < max. */
  below(max: number): number {
    // xorshift32
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state % max;
  }

  pick<T>(list: readonly T[]): T | undefined {
    return list[this.below(list.length)];
  }
}

interface ModelFile {
  bytes: Buffer;
  xattrs: Map<string, string>;
  mtime: number;
}

export class ReclaimModel {
  store: Store;
  readonly random: Random;
  /** Directories by inode, with the name of each in the root. */
  readonly directories = new Map<number, string>([[1, ""]]);
  /** "directory/name" to inode. */
  readonly names = new Map<string, number>();
  readonly files = new Map<number, ModelFile>();
  readonly offcuts = new Set<number>();
  readonly pending = new Map<number, Buffer>();
  #seconds = 1_700_000_000;
  #fill = 0;

  constructor(store: Store, seed: number) {
    this.store = store;
    this.random = new Random(seed);
  }

  step(): void {
    const { random } = this;
    const weights: [number, () => void][] = [
      [6, () => this.#deliver()],
      [6, () => this.#splice()],
      [3, () => this.#share()],
      [4, () => this.#create()],
      [3, () => this.#unlink()],
      [3, () => this.#rename()],
      [2, () => this.#link()],
      [2, () => this.#attributes()],
      [2, () => this.#xattr()],
      [2, () => this.#cut()],
      [2, () => this.#dropOffcut()],
      [2, () => this.#pend()],
      [2, () => this.#unpend()],
      [1, () => this.#directory()],
      [1, () => this.#removeDirectory()],
      [2, () => this.#dotlock()],
    ];
    let at = random.below(weights.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, operation] of weights) {
      at -= weight;
      if (at < 0) return operation();
    }
  }

  /** Throws when the store does not hold what it must. */
  check(): void {
    const { store } = this;
    const { files } = store.statistics();
    if (files !== this.files.size) throw new Error(`${files} files, not ${this.files.size}`);
    for (const [key, ino] of this.names) {
      const [parent, name] = key.split("/") as [string, string];
      const found = store.lookup(Number(parent), name);
      if (found !== ino) throw new Error(`${key} is inode ${found}, not ${ino}`);
    }
    for (const [ino, file] of this.files) {
      const inode = store.inode(ino);
      if (inode === undefined) throw new Error(`inode ${ino} is not there`);
      const bytes = store.read(ino, 0, file.bytes.length + 1);
      if (!bytes.equals(file.bytes)) throw new Error(`content of inode ${ino} differs`);
      if (inode.mtimeSec !== file.mtime) throw new Error(`mtime of inode ${ino} differs`);
      const xattrs = [...(inode.xattrs ?? [])].map(
        ([name, value]) => `${name}=${value.toString()}`,
      );
      const wanted = [...file.xattrs].map(([name, value]) => `${name}=${value}`);
      if (xattrs.sort().join() !== wanted.sort().join()) {
        throw new Error(`attributes of inode ${ino} differ`);
      }
    }
    const waiting = store.allPending().map(({ id }) => id);
    if (waiting.join() !== [...this.pending.keys()].sort((a, b) => a - b).join()) {
      throw new Error(`pending ${waiting.join()} differ`);
    }
    for (const { id, extents } of store.allPending()) {
      const bytes = extents.map((e) => store.readUnit(e.unit, e.offset, e.length));
      if (!Buffer.concat(bytes).equals(this.pending.get(id) as Buffer)) {
        throw new Error(`bytes of pending ${id} differ`);
      }
    }
  }

  /** What the next start would do first. */
  dropOffcuts(): void {
    for (const ino of this.offcuts) this.#drop(ino);
    this.offcuts.clear();
  }

  #time(): { sec: number; nsec: number } {
    return { sec: ++this.#seconds, nsec: this.random.below(1000) };
  }

  #fresh(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let k = 0; k < length; k++) bytes[k] = 97 + ((this.#fill += 7) % 23);
    return bytes;
  }

  #inode(ino: number, mode: number, nlink: number, parent = 0): Change {
    const time = { sec: this.#seconds, nsec: 0 };
    const times = { atime: time, mtime: time, ctime: time };
    return {
      type: "inode",
      ino,
      mode,
      uid: 1,
      gid: 2,
      nlink,
      rdev: 0,
      parent,
      target: NOTHING,
      ...times,
    };
  }

  #unit(bytes: Buffer): Extent[] {
    if (bytes.length === 0) return [];
    const unit = this.store.writeUnit([bytes], [900, 900, 900]);
    return [{ unit, offset: 0, length: bytes.length }];
  }

  #key(): string {
    const directory = this.random.pick([...this.directories.keys()]) as number;
    return `${directory}/${"abcdefghijkl"[this.random.below(12)] as string}`;
  }

  #existing(): string | undefined {
    return this.random.pick([...this.names.keys()]);
  }

  #create(): void {
    const key = this.#key();
    if (this.names.has(key) || this.#isDirectory(key)) return;
    const [parent, name] = split(key);
    const ino = this.store.newIno();
    const named: Change = { type: "name", parent, name, ino, fileType: S_IFREG };
    this.store.commit([this.#inode(ino, S_IFREG | 0o600, 1), named]);
    this.names.set(key, ino);
    this.files.set(ino, { bytes: NOTHING, xattrs: new Map(), mtime: this.#seconds });
  }

  #isDirectory(key: string): boolean {
    const [parent, name] = split(key);
    return parent === 1 && [...this.directories.values()].includes(name);
  }

  #deliver(): void {
    const inos = new Set<number>();
    for (let k = this.random.below(5) + 1; k > 0; k--) {
      const key = this.#existing();
      if (key !== undefined) inos.add(this.names.get(key) as number);
    }
    if (inos.size === 0) return this.#create();
    const shared = this.#fresh(this.random.below(4000) + 1);
    const length = this.random.below(60);
    const own = this.#fresh(length * inos.size);
    const unit = this.store.writeUnit(own.length === 0 ? [shared] : [shared, own]);
    const time = this.#time();
    const targets = [...inos].map((ino, k) => {
      const offset = shared.length + k * length;
      return { ino, private: length === 0 ? undefined : { unit, offset, length } };
    });
    const extent = { unit, offset: 0, length: shared.length };
    this.store.commit([{ type: "deliver", time, shared: [extent], targets }]);
    for (const [k, ino] of [...inos].entries()) {
      const file = this.files.get(ino) as ModelFile;
      const mine = own.subarray(k * length, (k + 1) * length);
      file.bytes = Buffer.concat([file.bytes, mine, shared]);
      file.mtime = time.sec;
    }
  }

  #splice(): void {
    const key = this.#existing();
    if (key === undefined) return;
    const ino = this.names.get(key) as number;
    const file = this.files.get(ino) as ModelFile;
    const offset = this.random.below(file.bytes.length + 1);
    const most = this.random.below(4) === 0 ? file.bytes.length : 500;
    const remove = Math.min(this.random.below(most + 1), file.bytes.length - offset);
    const bytes = this.#fresh(this.random.below(3) === 0 ? 0 : this.random.below(3000));
    const extents = this.#unit(bytes);
    if (this.random.below(8) === 0) extents.push({ unit: 0, offset: 0, length: 40 });
    const added = Buffer.concat([bytes, Buffer.alloc(extents.at(-1)?.unit === 0 ? 40 : 0)]);
    this.store.commit([{ type: "splice", ino, offset, remove, extents }]);
    this.#put(file, offset, remove, added);
  }

  #put(file: ModelFile, offset: number, remove: number, bytes: Buffer): void {
    file.bytes = Buffer.concat([
      file.bytes.subarray(0, offset),
      bytes,
      file.bytes.subarray(offset + remove),
    ]);
  }

  #share(): void {
    const from = this.#existing();
    const to = this.#existing();
    if (from === undefined || to === undefined) return;
    const source = this.names.get(from) as number;
    const target = this.names.get(to) as number;
    const old = (this.files.get(source) as ModelFile).bytes;
    const at = this.random.below(old.length + 1);
    const length = this.random.below(2000);
    const extents = this.store.extents(source, at, length);
    const file = this.files.get(target) as ModelFile;
    const end = file.bytes.length;
    const bytes = Buffer.from(old.subarray(at, at + length));
    this.store.commit([{ type: "splice", ino: target, offset: end, remove: 0, extents }]);
    this.#put(file, end, 0, bytes);
  }

  #unlink(): void {
    const key = this.#existing();
    if (key === undefined) return;
    const ino = this.names.get(key) as number;
    const [parent, name] = split(key);
    const nlink = this.#links(ino) - 1;
    this.store.commit([
      { type: "unname", parent, name },
      { type: "attributes", ino, nlink },
    ]);
    this.names.delete(key);
    if (nlink === 0) this.#drop(ino);
  }

  #links(ino: number): number {
    let links = 0;
    for (const other of this.names.values()) if (other === ino) links++;
    return links;
  }

  #drop(ino: number): void {
    this.store.commit([{ type: "dropInode", ino }]);
    this.files.delete(ino);
  }

  #rename(): void {
    const from = this.#existing();
    if (from === undefined) return;
    const to = this.#key();
    if (to === from || this.#isDirectory(to)) return;
    const ino = this.names.get(from) as number;
    const over = this.names.get(to);
    if (over === ino) return;
    const [parent, name] = split(from);
    const [toParent, toName] = split(to);
    const changes: Change[] = [];
    const links = over === undefined ? 0 : this.#links(over) - 1;
    if (over !== undefined) {
      if (this.random.below(2) === 0) {
        changes.push({ type: "unname", parent: toParent, name: toName });
      }
      changes.push({ type: "attributes", ino: over, nlink: links });
    }
    changes.push(
      { type: "unname", parent, name },
      { type: "name", parent: toParent, name: toName, ino, fileType: S_IFREG },
    );
    this.store.commit(changes);
    this.names.delete(from);
    this.names.set(to, ino);
    if (over !== undefined && links === 0) this.#drop(over);
  }

  #link(): void {
    const from = this.#existing();
    const to = this.#key();
    if (from === undefined || this.names.has(to) || this.#isDirectory(to)) return;
    const ino = this.names.get(from) as number;
    const [parent, name] = split(to);
    this.store.commit([
      { type: "name", parent, name, ino, fileType: S_IFREG },
      { type: "attributes", ino, nlink: this.#links(ino) + 1 },
    ]);
    this.names.set(to, ino);
  }

  #attributes(): void {
    const key = this.#existing();
    if (key === undefined) return;
    const ino = this.names.get(key) as number;
    const mtime = this.#time();
    this.store.commit([{ type: "attributes", ino, mtime, uid: this.random.below(9) }]);
    (this.files.get(ino) as ModelFile).mtime = mtime.sec;
  }

  #xattr(): void {
    const key = this.#existing();
    if (key === undefined) return;
    const ino = this.names.get(key) as number;
    const name = `user.${this.random.below(3)}`;
    const { xattrs } = this.files.get(ino) as ModelFile;
    const isRemoved = this.random.below(3) === 0;
    const text = `value ${this.random.below(1000)}`;
    const value = isRemoved ? undefined : Buffer.from(text);
    this.store.commit([{ type: "xattr", ino, name, value }]);
    if (isRemoved) xattrs.delete(name);
    else xattrs.set(name, text);
  }

  #cut(): void {
    const key = this.#existing();
    if (key === undefined) return;
    const ino = this.names.get(key) as number;
    const file = this.files.get(ino) as ModelFile;
    const offset = this.random.below(file.bytes.length + 1);
    const to = this.store.newIno();
    this.store.commit([this.#inode(to, OFFCUT_MODE, 0), { type: "cut", ino, offset, to }]);
    this.offcuts.add(to);
    file.bytes = Buffer.from(file.bytes.subarray(0, offset));
  }

  /** In turns: its end first. */
  #dropOffcut(): void {
    const ino = this.random.pick([...this.offcuts]);
    if (ino === undefined) return;
    const { size } = this.store.inode(ino) as { size: number };
    const offset = this.random.below(size + 1);
    this.store.commit([{ type: "splice", ino, offset, remove: size - offset, extents: [] }]);
    if (offset > 0) return;
    this.offcuts.delete(ino);
    this.#drop(ino);
  }

  #pend(): void {
    const id = this.store.newPendingId();
    const bytes = this.#fresh(this.random.below(900) + 1);
    const extents = this.#unit(bytes);
    const time = this.#time();
    const rest = { time, mode: 0o600, uid: 3, gid: 4, extents };
    this.store.commit([{ type: "pend", id, parent: 1, name: "a", ...rest }]);
    this.pending.set(id, bytes);
  }

  #unpend(): void {
    const id = this.random.pick([...this.pending.keys()]);
    const key = this.#existing();
    if (id === undefined || key === undefined) return;
    const ino = this.names.get(key) as number;
    const waiting = this.store.allPending().find((one) => one.id === id);
    const file = this.files.get(ino) as ModelFile;
    const offset = file.bytes.length;
    this.store.commit([
      { type: "splice", ino, offset, remove: 0, extents: waiting?.extents ?? [] },
      { type: "unpend", id },
    ]);
    this.#put(file, offset, 0, this.pending.get(id) as Buffer);
    this.pending.delete(id);
  }

  #directory(): void {
    if (this.directories.size > 4) return;
    const name = `d${this.random.below(6)}`;
    if ([...this.directories.values()].includes(name)) return;
    const ino = this.store.newIno();
    const nlink = this.directories.size + 2;
    this.store.commit([
      this.#inode(ino, S_IFDIR | 0o755, 2, 1),
      { type: "name", parent: 1, name, ino, fileType: S_IFDIR },
      { type: "attributes", ino: 1, nlink },
    ]);
    this.directories.set(ino, name);
  }

  #removeDirectory(): void {
    const ino = this.random.pick([...this.directories.keys()]) as number;
    if (ino === 1 || [...this.names.keys()].some((key) => split(key)[0] === ino)) return;
    this.store.commit([
      { type: "unname", parent: 1, name: this.directories.get(ino) as string },
      { type: "attributes", ino, nlink: 0 },
      { type: "attributes", ino: 1, nlink: this.directories.size },
    ]);
    this.store.commit([{ type: "dropInode", ino }]);
    this.directories.delete(ino);
  }

  #dotlock(): void {
    const ino = this.store.newIno();
    const name = `a${this.random.below(3)}.lock`;
    this.store.commit([
      this.#inode(ino, S_IFREG | 0o600, 1),
      { type: "name", parent: 1, name, ino, fileType: S_IFREG },
    ]);
    this.store.commit([
      { type: "unname", parent: 1, name },
      { type: "attributes", ino, nlink: 0 },
    ]);
    this.store.commit([{ type: "dropInode", ino }]);
  }
}

function split(key: string): [number, string] {
  const [parent, name] = key.split("/") as [string, string];
  return [Number(parent), name];
}

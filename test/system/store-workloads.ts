/**
 * What is done to a store, one change after the other, in every way that the layers above do it: as plans
 * for the power cuts. Random ones are deterministic in their seed.
 */
import { S_IFDIR, S_IFREG } from "../../fs/attributes.ts";
import type { Change, Extent } from "../../fs/store/records/change.ts";
import { ROOT_INO } from "../../fs/store/state/counters.ts";
import { OFFCUT_MODE } from "../../fs/store/records/offcut.ts";
import type { Store } from "../../fs/store/store.ts";
import { between, type Random } from "../movers.ts";
import { type Life, newFile, NOW } from "./cut-life.ts";
import type { NaiveName } from "./naive-store.ts";

/** Changes to the store of a life. Directories are below the root only. */
export class Scene {
  readonly life: Life;
  #byte = 0;
  #time = NOW.sec;

  constructor(life: Life) {
    this.life = life;
  }

  get store(): Store {
    return this.life.store;
  }

  get names(): NaiveName[] {
    return [...this.life.model.names.values()];
  }

  get files(): NaiveName[] {
    return this.names.filter(({ fileType }) => fileType === S_IFREG);
  }

  get directories(): NaiveName[] {
    return this.names.filter(({ fileType }) => fileType === S_IFDIR);
  }

  size(ino: number): number {
    return this.life.model.inode(ino).bytes.length;
  }

  create(name: string, parent = ROOT_INO): number {
    const ino = this.store.newIno();
    this.store.commit(newFile(ino, name, S_IFREG | 0o600, parent));
    return ino;
  }

  makeDirectory(name: string): number {
    const ino = this.store.newIno();
    const [inode, named] = newFile(ino, name, S_IFDIR | 0o700) as [Change, Change];
    const nlink = this.life.model.inode(ROOT_INO).nlink + 1;
    this.store.commit([
      { ...(inode as Extract<Change, { type: "inode" }>), nlink: 2, parent: ROOT_INO },
      named,
      { type: "attributes", ino: ROOT_INO, nlink },
    ]);
    return ino;
  }

  /** An empty directory goes, as rmdir does it. */
  removeDirectory({ parent, name, ino }: NaiveName): void {
    const nlink = this.life.model.inode(parent).nlink - 1;
    this.store.commit([
      { type: "unname", parent, name },
      { type: "attributes", ino, nlink: 0 },
      { type: "attributes", ino: parent, nlink },
    ]);
    this.store.commit([{ type: "dropInode", ino }]);
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let k = 0; k < length; k++) bytes[k] = 33 + ((this.#byte += 7) % 90);
    return bytes;
  }

  unit(length: number): Extent[] {
    if (length === 0) return [];
    return [{ unit: this.store.writeUnit([this.bytes(length)]), offset: 0, length }];
  }

  splice(ino: number, offset: number, remove: number, extents: readonly Extent[]): void {
    this.store.commit([
      { type: "splice", ino, offset, remove, extents },
      { type: "attributes", ino, mtime: this.time(), ctime: this.time() },
    ]);
  }

  append(ino: number, length: number): void {
    this.splice(ino, this.size(ino), 0, this.unit(length));
  }

  share(from: number, offset: number, length: number, to: number): void {
    this.splice(to, this.size(to), 0, this.store.extents(from, offset, length));
  }

  deliver(inos: readonly number[], own: number, shared: number): void {
    const ownBytes = this.bytes(own * inos.length);
    const unit = this.store.writeUnit([this.bytes(shared), ownBytes]);
    const targets = inos.map((ino, k) => ({
      ino,
      private: own === 0 ? undefined : { unit, offset: shared + k * own, length: own },
    }));
    const extent = { unit, offset: 0, length: shared };
    this.store.commit([{ type: "deliver", time: this.time(), shared: [extent], targets }]);
  }

  pend(name: string, length: number): number {
    const id = this.store.newPendingId();
    const rights = { mode: 0o600, uid: 3, gid: 4 };
    const extents = this.unit(length);
    const time = this.time();
    this.store.commit([{ type: "pend", id, parent: ROOT_INO, name, time, ...rights, extents }]);
    return id;
  }

  /** A pending delivery shows in a file. */
  show(id: number, ino: number): void {
    const pending = this.store.allPending().find((found) => found.id === id);
    const extents = pending?.extents ?? [];
    const offset = this.size(ino);
    this.store.commit([
      { type: "splice", ino, offset, remove: 0, extents },
      { type: "unpend", id },
    ]);
  }

  unlink({ parent, name, ino }: NaiveName, drop = true): void {
    const nlink = this.life.model.inode(ino).nlink - 1;
    this.store.commit([
      { type: "unname", parent, name },
      { type: "attributes", ino, nlink, ctime: this.time() },
    ]);
    if (drop && nlink === 0) this.store.commit([{ type: "dropInode", ino }]);
  }

  link(ino: number, name: string, parent = ROOT_INO): void {
    const nlink = this.life.model.inode(ino).nlink + 1;
    this.store.commit([
      { type: "name", parent, name, ino, fileType: S_IFREG },
      { type: "attributes", ino, nlink },
    ]);
  }

  /** A file takes another name, and the place of the file that had it. */
  rename(from: NaiveName, name: string, parent = from.parent): void {
    const { model } = this.life;
    const replaced = model.names.get(`${parent}/${name}`);
    if (replaced?.ino === from.ino) return;
    const changes: Change[] = [
      { type: "unname", parent: from.parent, name: from.name },
      { type: "name", parent, name, ino: from.ino, fileType: from.fileType },
    ];
    if (replaced !== undefined) {
      const nlink = model.inode(replaced.ino).nlink - 1;
      changes.push({ type: "attributes", ino: replaced.ino, nlink });
    }
    this.store.commit(changes);
  }

  setXattr(ino: number, name: string, value: Buffer | undefined): void {
    this.store.commit([{ type: "xattr", ino, name, value }]);
  }

  /** A truncation whose bytes are kept for a while (decision 013). */
  cut(ino: number, offset: number): void {
    const to = this.store.newIno();
    const [inode] = newFile(to, "", OFFCUT_MODE) as [Extract<Change, { type: "inode" }>];
    this.store.commit([
      { ...inode, nlink: 0 },
      { type: "cut", ino, offset, to },
    ]);
  }

  /** The snapshot that cleaning writes of a file: it changes nothing. */
  snapshot(ino: number): void {
    const { bytes: _, xattrs, ...inode } = this.life.model.inode(ino);
    const changes: Change[] = [{ type: "inode", ...inode }];
    for (const [name, value] of xattrs) changes.push({ type: "xattr", ino, name, value });
    const extents = this.store.extents(ino, 0, this.size(ino));
    let offset = 0;
    for (const [k, extent] of extents.entries()) {
      changes.push({ type: "map", ino, offset, extents: [extent], last: k === extents.length - 1 });
      offset += extent.length;
    }
    this.store.commit(changes);
  }

  dropOrphans(): void {
    for (const ino of this.store.orphans()) this.store.commit([{ type: "dropInode", ino }]);
  }

  time(): { sec: number; nsec: number } {
    return { sec: this.#time++, nsec: 7 };
  }
}

/** One random change, or what a store does beside changes. */
export async function randomStep(scene: Scene, random: Random): Promise<void> {
  const { store, files, directories } = scene;
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const name = (): string => pick(["a", "b", "c", "d", "e", "f", "g"]);
  const kind = random();
  const file = files.length > 0 ? pick(files) : undefined;
  if (file === undefined || kind < 0.1) {
    const parent = directories.length > 0 && random() < 0.4 ? pick(directories).ino : ROOT_INO;
    const free = name();
    if (!scene.life.model.names.has(`${parent}/${free}`)) scene.create(free, parent);
    return;
  }
  const { ino } = file;
  const size = scene.size(ino);
  const at = Math.floor(random() * (size + 1));
  const length = random() < 0.1 ? between(random, 1, 70_000) : between(random, 1, 3_000);
  const some = Math.min(length, size - at);
  if (kind < 0.25) scene.splice(ino, at, random() < 0.5 ? some : 0, scene.unit(length));
  else if (kind < 0.3) scene.splice(ino, size, 0, [{ unit: 0, offset: 0, length }]);
  else if (kind < 0.36) scene.share(ino, at, length, pick(files).ino);
  else if (kind < 0.5) scene.deliver(distinct(random, files), between(random, 0, 60), length);
  else if (kind < 0.55) scene.unlink(file, random() < 0.6);
  else if (kind < 0.58) scene.dropOrphans();
  else if (kind < 0.63) scene.rename(file, pick(files).name);
  else if (kind < 0.65) scene.link(ino, `link-${scene.time().sec}`);
  else if (kind < 0.68) scene.setXattr(ino, pick(["user.a", "user.b"]), scene.bytes(20));
  else if (kind < 0.69) scene.setXattr(ino, "user.a", undefined);
  else if (kind < 0.73) scene.pend(name(), length);
  else if (kind < 0.76)
    store
      .allPending()
      .slice(0, 2)
      .forEach(({ id }) => scene.show(id, ino));
  else if (kind < 0.79) scene.cut(ino, at);
  else if (kind < 0.81) scene.splice(ino, at, size - at, []);
  else if (kind < 0.83) scene.snapshot(ino);
  else if (kind < 0.85) scene.makeDirectory(`dir-${scene.time().sec}`);
  else if (kind < 0.87) removeOne(scene);
  else if (kind < 0.94) await store.durable();
  else if (kind < 0.97) await store.checkpoint();
  else if (kind < 0.98) store.checkpoint().catch(() => undefined);
  else await scene.life.reopen({ rebuildIndex: random() < 0.3 });
}

function distinct(random: Random, files: readonly NaiveName[]): number[] {
  const inos = new Set(files.filter(() => random() < 0.5).map(({ ino }) => ino));
  return inos.size === 0 ? [(files[0] as NaiveName).ino] : [...inos];
}

function removeOne(scene: Scene): void {
  const { names } = scene;
  const empty = scene.directories.find(({ ino }) => !names.some(({ parent }) => parent === ino));
  if (empty !== undefined) scene.removeDirectory(empty);
}

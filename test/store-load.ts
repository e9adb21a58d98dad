/** Random mail in a store, and what it must hold then: for tests that copy stores or damage them. */
import * as fs from "node:fs";
import { join } from "node:path";
import type { Change } from "../fs/store/records/change.ts";
import { FORMAT_FILE, segmentPath } from "../fs/store/paths.ts";
import { Store } from "../fs/store/store.ts";

const TIME = { sec: 1_700_000_000, nsec: 5 };
const ROOT = 1;

/** A small generator that a seed repeats: mulberry32. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class StoreLoad {
  readonly model = new Map<string, Buffer>();
  readonly #random: () => number;
  readonly #names: readonly string[];
  #count = 0;

  constructor(seed: number, mailboxes = 12) {
    this.#random = randomFrom(seed);
    this.#names = Array.from({ length: mailboxes }, (_, k) => `box${k}`);
  }

  /** Deliveries mostly; expunges, copies of ranges and deletions between them. */
  run(store: Store, steps: number): void {
    for (let k = 0; k < steps; k++) this.#step(store);
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #step(store: Store): void {
    const kind = this.#below(10);
    const name = this.#names[this.#below(this.#names.length)] as string;
    const ino = store.lookup(ROOT, name);
    if (kind < 7 || ino === 0) this.#deliver(store);
    else if (kind < 9) this.#remove(store, name, ino);
    else this.#unlink(store, name, ino);
  }

  #deliver(store: Store): void {
    const names = this.#names.filter(() => this.#random() < 0.4);
    const changes: Change[] = [];
    const inos = names.map((name) => {
      const ino = store.lookup(ROOT, name) || store.newIno();
      if (!this.model.has(name)) {
        this.model.set(name, Buffer.alloc(0));
        changes.push(...creation(name, ino));
      }
      return ino;
    });
    const mark = `message ${this.#count++} `;
    const shared = this.#bytes(mark, 20 + this.#below(6000));
    const own = this.#bytes("for ", 10 + this.#below(40));
    const unit = store.writeUnit([shared, ...names.map(() => own)], [shared.length]);
    changes.push({
      type: "deliver",
      time: TIME,
      shared: [{ unit, offset: 0, length: shared.length }],
      targets: inos.map((ino, k) => ({
        ino,
        private: { unit, offset: shared.length + k * own.length, length: own.length },
      })),
    });
    store.commit(changes);
    for (const name of names) {
      this.model.set(name, Buffer.concat([this.model.get(name) as Buffer, own, shared]));
    }
  }

  #remove(store: Store, name: string, ino: number): void {
    const content = this.model.get(name) as Buffer;
    const offset = this.#below(content.length);
    const remove = this.#below(Math.min(8000, content.length - offset));
    store.commit([{ type: "splice", ino, offset, remove, extents: [] }]);
    this.model.set(
      name,
      Buffer.concat([content.subarray(0, offset), content.subarray(offset + remove)]),
    );
  }

  #unlink(store: Store, name: string, ino: number): void {
    store.commit([
      { type: "unname", parent: ROOT, name },
      { type: "attributes", ino, nlink: 0 },
      { type: "dropInode", ino },
    ]);
    this.model.delete(name);
  }

  #bytes(mark: string, length: number): Buffer {
    const bytes = Buffer.alloc(length, mark, "latin1");
    for (let k = mark.length; k < length; k++) bytes[k] = 33 + this.#below(90);
    return bytes;
  }
}

function creation(name: string, ino: number): Change[] {
  const target = Buffer.alloc(0);
  const attributes = { mode: 0o100600, uid: 1, gid: 2, nlink: 1, rdev: 0, parent: 0, target };
  const times = { atime: TIME, mtime: TIME, ctime: TIME };
  return [
    { type: "inode", ino, ...attributes, ...times },
    { type: "name", parent: ROOT, name, ino, fileType: 0o100000 },
  ];
}

/** All files in the root of a store, by name. */
export async function contentsOf(store: Store): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  await store.internals().index.each({ gte: Buffer.from("d"), lt: Buffer.from("e") }, (key) => {
    const name = key.toString("latin1", 7);
    const ino = store.lookup(ROOT, name);
    if (ino !== 0) found.set(name, store.read(ino, 0, 1 << 28));
  });
  return found;
}

/** Opens a store that nobody has open, and closes it again. */
export async function readStore(directory: string): Promise<Map<string, Buffer>> {
  const store = await Store.open(directory);
  try {
    await store.checkpoint();
    return await contentsOf(store);
  } finally {
    await store.close();
  }
}

/** What a crash leaves: log and format as they are on disk now, without the index. */
export function copyLog(from: string, to: string): void {
  fs.mkdirSync(join(to, "log"), { recursive: true });
  for (const name of fs.readdirSync(join(from, "log"))) {
    fs.copyFileSync(join(from, "log", name), join(to, "log", name));
  }
  fs.copyFileSync(join(from, FORMAT_FILE), join(to, FORMAT_FILE));
}

/** Changes a byte of a file to another value; answers with the one that stood there. */
export function spoil(path: string, offset: number, value?: number): number {
  const fd = fs.openSync(path, "r+");
  try {
    const byte = Buffer.alloc(1);
    fs.readSync(fd, byte, 0, 1, offset);
    const before = byte[0] as number;
    byte[0] = value ?? before ^ 0x40;
    fs.writeSync(fd, byte, 0, 1, offset);
    return before;
  } finally {
    fs.closeSync(fd);
  }
}

export function spoilSegment(store: string, segment: number, offset: number): number {
  return spoil(segmentPath(store, segment), offset);
}

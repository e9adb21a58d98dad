/**
 * Random operations on files of a store and on buffers in memory, side by side. A failure prints the seed;
 * `SEED=n` repeats it.
 */
import fc from "fast-check";
import t from "tap";
import { assertNever } from "../base/assert.ts";
import { EEXIST, EINVAL, ENOENT, ENXIO, isErrno } from "../base/errno.ts";
import { Harness, ok, RDWR, ROOT, ROOT_CALLER } from "./files-harness.ts";

const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));
t.comment(`repeat with: SEED=${seed} node dist/test/files-model.test.js`);

const NAMES = ["a", "b", "c", "d"];
const SIZE_MAX = 60_000;

interface NaiveFile {
  bytes: Buffer;
  names: number;
}

const name = fc.constantFrom(...NAMES);
/** A place in a file or a length, as a part of what there is. */
const part = fc.double({ min: 0, max: 1, noNaN: true });
const small = fc.integer({ min: 0, max: 300 });
const length = fc.oneof(small, fc.integer({ min: 0, max: 9_000 }));

/** Mostly none. */
const gap = fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: small });
const other = name;
const flags = fc.integer({ min: 0, max: 2 });
const chunk = fc.integer({ min: 20, max: 5_000 });
const positive = length.map((value) => value + 1);

const event = fc.oneof(
  fc.record({ do: fc.constant("write"), name, at: part, gap, length, byte: small }),
  fc.record({ do: fc.constant("append"), name, length, byte: small }),
  fc.record({ do: fc.constant("move"), name, from: part, at: part, edit: small, chunk }),
  fc.record({ do: fc.constant("anew"), name, at: part, edit: small, chunk, end: part }),
  fc.record({ do: fc.constant("deliver"), name, length: positive, byte: small }),
  fc.record({ do: fc.constant("rewrite"), name, at: part, length }),
  fc.record({ do: fc.constant("truncate"), name, at: part, more: gap }),
  fc.record({ do: fc.constant("punch"), name, at: part, length: positive }),
  fc.record({ do: fc.constant("zero"), name, at: part, length: positive }),
  fc.record({ do: fc.constant("copy"), name, other, from: part, at: part, length }),
  fc.record({ do: fc.constant("unlink"), name }),
  fc.record({ do: fc.constant("link"), name, other }),
  fc.record({ do: fc.constant("rename"), name, other, flags }),
  fc.record({ do: fc.constant("reopen") }),
);
type Event = typeof event extends fc.Arbitrary<infer T> ? T : never;

/** Bytes in which a place can be found again, mostly. */
function text(byte: number, count: number): Buffer {
  const bytes = Buffer.alloc(count);
  let state = byte + 1;
  for (let k = 0; k < count; k++) {
    state = (state * 48_271) % 2_147_483_647;
    bytes[k] = 32 + (state % 64);
  }
  return bytes;
}

function placeIn(file: NaiveFile, at: number): number {
  return Math.floor(at * file.bytes.length);
}

function overlay(file: NaiveFile, offset: number, data: Buffer): void {
  const grown = Buffer.alloc(Math.max(file.bytes.length, offset + data.length));
  file.bytes.copy(grown);
  data.copy(grown, offset);
  file.bytes = grown;
}

class Pair {
  readonly h: Harness;
  readonly files = new Map<string, NaiveFile>();
  /** Handles that are open, with their inodes. */
  readonly #handles: [number, number][] = [];

  constructor(h: Harness) {
    this.h = h;
  }

  ino(fileName: string): number {
    return this.h.store.lookup(ROOT, fileName);
  }

  /** The file of that name, made when it is not there. */
  file(fileName: string): NaiveFile {
    let file = this.files.get(fileName);
    if (file === undefined) {
      file = { bytes: Buffer.alloc(0), names: 1 };
      this.files.set(fileName, file);
      this.h.make(fileName);
    }
    return file;
  }

  write(fileName: string, offset: number, data: Buffer): void {
    const file = this.file(fileName);
    if (data.length > 0) overlay(file, offset, data);
    this.h.write(this.ino(fileName), offset, data);
  }

  /** A mail program's way: everything behind `from` moves to `at`, in chunks, with one edit. */
  move(fileName: string, from: number, at: number, edit: number, chunk: number): void {
    const { bytes } = this.file(fileName);
    const edited = text(edit, edit % 40);
    const cut = from + Math.floor((bytes.length - from) / 2);
    const tail = Buffer.concat([bytes.subarray(from, cut), edited, bytes.subarray(cut)]);
    const starts: number[] = [];
    for (let k = 0; k < tail.length; k += chunk) starts.push(k);
    // Upwards a mover begins at the end, lest it overwrites what it has still to read.
    if (at > from) starts.reverse();
    for (const k of starts) this.write(fileName, at + k, tail.subarray(k, k + chunk));
  }

  async perform(e: Event): Promise<void> {
    if (e.do === "reopen") return this.h.reopen();
    const file = this.file(e.name);
    const size = file.bytes.length;
    switch (e.do) {
      case "write":
        if (size < SIZE_MAX)
          this.write(e.name, placeIn(file, e.at) + e.gap, text(e.byte, e.length));
        return;
      case "append":
        if (size < SIZE_MAX) this.append(e.name, text(e.byte, e.length));
        return;
      case "move":
        if (size < SIZE_MAX) {
          this.move(e.name, placeIn(file, e.from), placeIn(file, e.at), e.edit, e.chunk);
        }
        return;
      case "anew":
        if (size < SIZE_MAX) this.anew(e.name, placeIn(file, e.at), e.edit, e.chunk, e.end);
        return;
      case "deliver":
        if (size < SIZE_MAX) this.deliver(e.name, text(e.byte, e.length));
        return;
      case "rewrite": {
        const from = placeIn(file, e.at);
        this.write(e.name, from, Buffer.from(file.bytes.subarray(from, from + e.length)));
        return;
      }
      case "truncate":
        return this.truncate(e.name, placeIn(file, e.at) + e.more);
      case "punch":
        return this.punch(e.name, placeIn(file, e.at), e.length);
      case "zero":
        return this.zero(e.name, placeIn(file, e.at), e.length);
      case "copy":
        return this.copy(e);
      case "unlink":
        return this.unlink(e.name);
      case "link":
        return this.link(e.name, e.other);
      case "rename":
        return this.rename(e.name, e.other, e.flags);
      default:
        return assertNever(e);
    }
  }

  /** Another way: the file is cut, and what was there is written again in chunks, with one edit, mostly to its end. */
  anew(fileName: string, at: number, edit: number, chunk: number, end: number): void {
    const { bytes } = this.file(fileName);
    const edited = text(edit, edit % 40);
    const cut = at + Math.floor((bytes.length - at) / 2);
    const tail = Buffer.concat([bytes.subarray(at, cut), edited, bytes.subarray(cut + edit)]);
    const { handle } = ok(this.h.files.open(this.ino(fileName), RDWR, ROOT_CALLER));
    this.truncate(fileName, at);
    const length = Math.ceil(tail.length * Math.min(1, 2 * end));
    for (let k = 0; k < length; k += chunk) {
      this.write(fileName, at + k, tail.subarray(k, Math.min(k + chunk, length)));
    }
    // Some programs close it, and some have it open for longer.
    if (edit % 2 === 0) this.h.files.release(this.ino(fileName), handle);
    else this.#handles.push([this.ino(fileName), handle]);
  }

  /** The file has no name any more: what has it open closes it. */
  close(ino: number): void {
    for (const [of, handle] of this.#handles) if (of === ino) this.h.files.release(ino, handle);
    this.h.files.forget(ino);
  }

  /** At the end, as hints do it. */
  deliver(fileName: string, data: Buffer): void {
    const file = this.file(fileName);
    const { size: offset } = this.h.stat(this.ino(fileName));
    overlay(file, offset, data);
    const unit = this.h.store.writeUnit([data]);
    const shared = [{ unit, offset: 0, length: data.length }];
    const targets = [{ ino: this.ino(fileName), private: undefined }];
    this.h.store.commit([{ type: "deliver", time: { sec: 1, nsec: 0 }, shared, targets }]);
  }

  append(fileName: string, data: Buffer): void {
    const file = this.file(fileName);
    if (data.length > 0) overlay(file, file.bytes.length, data);
    this.h.write(this.ino(fileName), 7, data, RDWR | 0o2000);
  }

  truncate(fileName: string, size: number): void {
    const file = this.file(fileName);
    const bytes = Buffer.alloc(size);
    file.bytes.copy(bytes);
    file.bytes = bytes;
    ok(this.h.files.setAttributes(this.ino(fileName), { size }));
  }

  punch(fileName: string, at: number, length: number): void {
    const { bytes } = this.file(fileName);
    bytes.fill(0, at, Math.min(at + length, bytes.length));
    ok(this.h.files.allocate(this.ino(fileName), 3, at, length));
  }

  zero(fileName: string, at: number, length: number): void {
    overlay(this.file(fileName), at, Buffer.alloc(length));
    ok(this.h.files.allocate(this.ino(fileName), 0x10, at, length));
  }

  copy(e: Event & { do: "copy" }): void {
    const source = this.file(e.name);
    const target = this.file(e.other);
    const from = placeIn(source, e.from);
    const at = placeIn(target, e.at);
    const data = Buffer.from(source.bytes.subarray(from, from + e.length));
    const copied = this.h.files.copyRange(
      { ino: this.ino(e.name), offset: from },
      { ino: this.ino(e.other), offset: at },
      e.length,
    );
    if (source === target && Math.abs(from - at) < data.length) {
      return equal(copied, EINVAL, "copy onto itself");
    }
    equal(copied, data.length, "copied");
    if (data.length > 0) overlay(target, at, data);
  }

  unlink(fileName: string): void {
    const file = this.file(fileName);
    const ino = this.ino(fileName);
    equal(this.h.files.unlink(ROOT, fileName), 0, "unlink");
    this.files.delete(fileName);
    if (--file.names === 0) this.close(ino);
  }

  link(fileName: string, other: string): void {
    const linked = this.h.files.link(this.ino(fileName), ROOT, other);
    if (this.files.has(other)) return equal(linked, EEXIST, "link");
    ok(linked);
    const file = this.file(fileName);
    this.files.set(other, file);
    file.names++;
  }

  rename(fileName: string, newName: string, flags: number): void {
    const file = this.file(fileName);
    const other = this.files.get(newName);
    const replaced = this.ino(newName);
    const result = this.h.files.rename(ROOT, fileName, ROOT, newName, flags);
    if (flags === 1 && other !== undefined) return equal(result, EEXIST, "rename");
    if (flags === 2 && other === undefined) return equal(result, ENOENT, "rename");
    equal(result, 0, "rename");
    if (other === file) return;
    this.files.set(newName, file);
    this.files.delete(fileName);
    if (other === undefined) return;
    if (flags === 2) this.files.set(fileName, other);
    else if (--other.names === 0) this.close(replaced);
  }

  async check(): Promise<void> {
    const { h } = this;
    equal((await h.names()).join(), [...this.files.keys()].sort().join(), "names");
    let logical = 0;
    const seen = new Set<NaiveFile>();
    for (const [fileName, file] of this.files) {
      const ino = this.ino(fileName);
      const { size, nlink } = h.stat(ino);
      equal(size, file.bytes.length, `size of ${fileName}`);
      equal(nlink, file.names, `names of ${fileName}`);
      if (!h.read(ino).equals(file.bytes)) throw new Error(`${fileName} differs`);
      if (!seen.has(file)) logical += size;
      seen.add(file);
      this.checkHoles(ino, file);
    }
    await h.files.orphans.idle();
    equal(h.store.statistics().logicalBytes, logical, "logicalBytes");
    equal(h.store.statistics().files, seen.size, "files");
  }

  /** Seeking never skips a byte that is not zero, and always gets on. */
  checkHoles(ino: number, { bytes }: NaiveFile): void {
    for (let at = 0; at < bytes.length;) {
      const data = this.h.files.seek(ino, at, 3);
      const hole = isErrno(data) ? bytes.length : data;
      if (isErrno(data)) equal(data, ENXIO, "seek");
      if (bytes.subarray(at, hole).some((byte) => byte !== 0)) throw new Error("data in a hole");
      if (hole >= bytes.length) return;
      at = ok(this.h.files.seek(ino, hole, 4));
      if (at <= hole) throw new Error("seek stands still");
    }
  }
}

function equal(found: unknown, wanted: unknown, what: string): void {
  if (found !== wanted) throw new Error(`${what}: found ${String(found)}, not ${String(wanted)}`);
}

t.test("files hold what plain buffers hold, whatever is done to them", async (t) => {
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 40, size: "max" }), async (events) => {
      const h = await Harness.open();
      try {
        const pair = new Pair(h);
        for (const e of events) {
          await pair.perform(e);
          await pair.check();
        }
        await h.reopen();
        await pair.check();
        // Those that are not there are made first.
        for (const fileName of NAMES) pair.unlink(fileName);
        await pair.check();
        equal(h.store.statistics().units, 0, "units when nothing is left");
        equal(h.store.statistics().storedBytes, 0, "stored bytes when nothing is left");
      } finally {
        await h.close();
      }
      runs++;
    }),
    {
      seed,
      numRuns: Number(process.env["RUNS"] ?? 60),
      interruptAfterTimeLimit: 60_000,
      markInterruptAsFailure: false,
    },
  );
  t.ok(runs > 0, `${runs} random histories`);
});

import t, { type Test } from "tap";
import {
  E2BIG,
  EEXIST,
  EFBIG,
  EINVAL,
  EISDIR,
  ENODATA,
  ENOENT,
  ENOSPC,
  ENXIO,
  EOPNOTSUPP,
  ERANGE,
} from "../base/errno.ts";
import type { Time } from "../fs/attributes.ts";
import { S_IFREG } from "../fs/attributes.ts";
import { StoreError } from "../fs/store/errors.ts";
import { ALICE, APPEND, Harness, ok, RDWR, ROOT, ROOT_CALLER } from "./files-harness.ts";

async function open(test: Test): Promise<Harness> {
  const h = await Harness.open();
  test.teardown(() => h.close());
  return h;
}

const PUNCH = 3;
const ZERO = 0x10;

t.test("what is written is read, before and after a reopening", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  t.equal(h.write(ino, 0, "hello world"), 0);
  t.equal(h.write(ino, 6, "W"), 6);
  t.equal(h.text(ino), "hello World");
  t.equal(h.read(ino, 6, 3).toString(), "Wor");
  t.equal(h.read(ino, 11, 3).length, 0);
  t.equal(h.read(ino, 9_999, 3).length, 0);
  await h.reopen();
  t.equal(h.text(ino), "hello World");
});

t.test("a write sets mtime and ctime, a read atime as relatime does", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  const made = h.stat(ino);
  h.write(ino, 0, "x");
  const written = h.stat(ino);
  t.ok(written.mtime.sec > made.mtime.sec);
  t.same(written.ctime, written.mtime);
  t.same(written.atime, made.atime);
  h.text(ino);
  const first = h.stat(ino);
  t.ok(first.atime.sec > written.mtime.sec);
  t.match(first, { mtime: written.mtime, ctime: written.ctime });
  h.text(ino);
  t.same(h.stat(ino).atime, first.atime, "newer than the last change");
  h.clock.sec += 86_400;
  h.text(ino);
  t.ok(h.stat(ino).atime.sec >= first.atime.sec + 86_400, "a day later");
  const { handle } = ok(h.files.open(ino, RDWR | 0o1000000, ROOT_CALLER));
  h.write(ino, 0, "y");
  const before = h.stat(ino).atime;
  t.equal(h.read(ino, 0, 1, handle).length, 1);
  t.same(h.stat(ino).atime, before, "O_NOATIME");
});

t.test("reading works on a full disk", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  h.write(ino, 0, "mail");
  const commit = h.store.commit.bind(h.store);
  h.store.commit = () => {
    throw new StoreError("STORE_FULL", "full");
  };
  t.equal(h.text(ino), "mail");
  t.throws(() => h.write(ino, 4, "more"), { code: "STORE_FULL" });
  h.store.commit = commit;
  t.equal(h.text(ino), "mail");
});

t.test("a write that fails leaves no unit behind", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  h.write(ino, 0, "0123456789");
  const { units } = h.store.statistics();
  const commit = h.store.commit.bind(h.store);
  h.store.commit = () => {
    throw new StoreError("STORE_FULL", "full");
  };
  t.throws(() => h.write(ino, 10, Buffer.alloc(600_000, 1)), { code: "STORE_FULL" });
  t.throws(() => h.write(ino, 5, "abc"), { code: "STORE_FULL" });
  h.store.commit = commit;
  t.equal(h.store.statistics().units, units);
  t.equal(h.text(ino), "0123456789");
});

t.test("a write behind the end leaves a hole", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  h.write(ino, 0, "ab");
  h.write(ino, 5, "cd");
  t.equal(h.text(ino), "ab\0\0\0cd");
  t.same(
    h.store.extents(ino, 0, 7).map(({ unit, length }) => [unit === 0, length]),
    [
      [false, 2],
      [true, 3],
      [false, 2],
    ],
  );
});

t.test("O_APPEND writes at the end that the file has, and tells where", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  h.write(ino, 0, "12345");
  t.equal(h.write(ino, 1, "67", APPEND), 5);
  t.equal(h.write(ino, 900, "8", APPEND), 7);
  t.equal(h.text(ino), "12345678");
});

t.test("O_SYNC and O_DSYNC writes are answered when durable", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  const request = { ino, handle: 0, offset: 0, data: Buffer.from("x") };
  for (const flags of [0o10000, 0o4010000]) {
    let durable = false;
    const real = h.store.durable.bind(h.store);
    h.store.durable = async () => {
      await real();
      durable = true;
    };
    const answer = h.files.write({ ...request, flags: RDWR | flags }, ROOT_CALLER);
    t.type(answer, Promise);
    t.same(await answer, { offset: 0, length: 1 });
    t.equal(durable, true);
    h.store.durable = real;
  }
  t.equal(await h.files.sync(ino), 0);
});

t.test("a long write becomes units of at most 256 KiB", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  const data = Buffer.alloc(700_000);
  for (let k = 0; k < data.length; k++) data[k] = (k * 7) % 251;
  h.write(ino, 0, data);
  t.same(
    h.store.extents(ino, 0, data.length).map(({ length }) => length),
    [262_144, 262_144, 175_712],
  );
  t.ok(h.read(ino).equals(data));
});

t.test("writing what is there changes the times only", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  h.write(ino, 0, "0123456789".repeat(100));
  const extents = h.store.extents(ino, 0, 1_000);
  const before = h.stat(ino);
  const { storedBytes } = h.store.statistics();
  h.write(ino, 100, "0123456789".repeat(50));
  t.same(h.store.extents(ino, 0, 1_000), extents);
  t.equal(h.store.statistics().storedBytes, storedBytes);
  t.ok(h.stat(ino).mtime.sec > before.mtime.sec);
});

t.test("only the edited bytes of a write become new", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  const text = Buffer.alloc(20_000);
  for (let k = 0; k < text.length; k++) text[k] = 32 + ((k * k * 31 + k) % 90);
  h.write(ino, 0, text);
  const { unit } = h.store.extents(ino, 0, 1)[0] ?? { unit: -1 };
  const edited = Buffer.from(text);
  edited.write("<<edited>>", 10_000);
  h.write(ino, 0, edited);
  t.ok(h.read(ino).equals(edited));
  const kept = h.store.extents(ino, 0, 20_000).filter((extent) => extent.unit === unit);
  const length = kept.reduce((sum, extent) => sum + extent.length, 0);
  t.ok(length >= 20_000 - 64, `${length} bytes are where they were`);
});

t.test("bytes that a write moves keep their unit", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  const text = Buffer.alloc(100_000);
  let seed = 1;
  for (let k = 0; k < text.length; k++) {
    seed = (seed * 48_271) % 2_147_483_647;
    text[k] = 32 + (seed % 90);
  }
  h.write(ino, 0, text);
  const unit = h.store.extents(ino, 0, 1)[0]?.unit;
  const moved = text.subarray(30_000);
  for (let at = 0; at < moved.length; at += 8_192) {
    h.write(ino, at, moved.subarray(at, at + 8_192));
  }
  ok(h.files.setAttributes(ino, { size: moved.length }));
  t.ok(h.read(ino).equals(moved));
  const kept = h.store.extents(ino, 0, moved.length).filter((extent) => extent.unit === unit);
  const length = kept.reduce((sum, extent) => sum + extent.length, 0);
  t.ok(length > 0.95 * moved.length, `${length} of ${moved.length} bytes keep their unit`);
});

t.test("a file ends at 2^53-1 bytes", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  const max = Number.MAX_SAFE_INTEGER;
  const request = { ino, handle: 0, data: Buffer.from("xy"), flags: RDWR };
  t.equal(h.files.write({ ...request, offset: max - 1 }, ROOT_CALLER), EFBIG);
  t.equal(h.files.write({ ...request, offset: 2 ** 60 }, ROOT_CALLER), EFBIG);
  t.equal(h.files.setAttributes(ino, { size: max + 1 }), EFBIG);
  t.equal(h.files.allocate(ino, 0, max, 1), EFBIG);
  h.write(ino, max - 2, "xy");
  t.equal(h.stat(ino).size, max);
  t.equal(h.read(ino, max - 3, 10).toString("latin1"), "\0xy");
  t.equal(h.files.seek(ino, 0, 3), max - 2);
});

t.test("truncating cuts, and growing adds zeros", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  h.write(ino, 0, "0123456789");
  t.equal(ok(h.files.setAttributes(ino, { size: 4 })).size, 4);
  t.equal(ok(h.files.setAttributes(ino, { size: 6 })).size, 6);
  t.equal(h.text(ino), "0123\0\0");
  const before = h.stat(ino);
  const same = ok(h.files.setAttributes(ino, { size: 6 }));
  t.ok(same.mtime.sec > before.mtime.sec, "also to the size it has");
  t.equal(h.files.setAttributes(ROOT, { size: 0 }), EISDIR);
  const link = ok(h.files.symlink(ROOT, "l", Buffer.from("x"), ALICE));
  t.equal(h.files.setAttributes(link.ino, { size: 0 }), EINVAL);
  const { handle } = ok(h.files.open(ino, RDWR | 0o1000, ROOT_CALLER));
  t.ok(handle > 0);
  t.equal(h.stat(ino).size, 0, "O_TRUNC");
});

t.test("setattr changes what it names, and ctime", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  const before = h.stat(ino);
  const chmod = ok(h.files.setAttributes(ino, { mode: 0o4711 }));
  t.match(chmod, { mode: S_IFREG | 0o4711, uid: 0, mtime: before.mtime, atime: before.atime });
  t.ok(chmod.ctime.sec > before.ctime.sec);
  const chown = ok(h.files.setAttributes(ino, { uid: 5, gid: 6 }));
  t.match(chown, { uid: 5, gid: 6, mode: S_IFREG | 0o4711 });
  const past: Time = { sec: -5, nsec: 999_999_999 };
  const times = ok(h.files.setAttributes(ino, { atime: past, mtime: { sec: 7, nsec: 8 } }));
  t.match(times, { atime: past, mtime: { sec: 7, nsec: 8 } });
  const now = ok(h.files.setAttributes(ino, { atime: "now", mtime: "now" }));
  t.same(now.atime, now.mtime);
  t.same(now.atime, now.ctime);
  ok(h.files.setAttributes(ino, { atime: past, mtime: { sec: 7, nsec: 8 } }));
  await h.reopen();
  t.match(h.stat(ino), { atime: past, mtime: { sec: 7, nsec: 8 }, mode: S_IFREG | 0o4711, uid: 5 });
});

t.test("fallocate grows, punches and zeroes, and refuses the rest", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  h.write(ino, 0, "0123456789");
  t.equal(h.files.allocate(ino, 0, 8, 6), 0);
  t.equal(h.text(ino), "0123456789\0\0\0\0");
  t.equal(h.files.allocate(ino, 1, 0, 100), 0);
  t.equal(h.stat(ino).size, 14, "FALLOC_FL_KEEP_SIZE");
  t.equal(h.files.allocate(ino, PUNCH, 2, 3), 0);
  t.equal(h.text(ino), "01\0\0\x0056789\0\0\0\0");
  t.equal(h.files.allocate(ino, PUNCH, 12, 100), 0);
  t.equal(h.files.allocate(ino, PUNCH, 100, 100), 0);
  t.equal(h.stat(ino).size, 14);
  t.equal(h.files.allocate(ino, ZERO, 13, 3), 0);
  t.equal(h.stat(ino).size, 16);
  t.equal(h.files.allocate(ino, ZERO | 1, 5, 100), 0);
  t.equal(h.text(ino), `01${"\0".repeat(14)}`);
  for (const mode of [2, 8, 0x20, 0x12, 0x40]) {
    t.equal(h.files.allocate(ino, mode, 0, 4_096), EOPNOTSUPP, `mode ${mode}`);
  }
  t.equal(h.files.allocate(ino, 0, 0, 0), EINVAL);
  t.equal(h.files.allocate(ROOT, 0, 0, 1), EISDIR);
});

t.test("seek finds data and holes", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  h.write(ino, 10, "data");
  ok(h.files.setAttributes(ino, { size: 40_000_000 }));
  h.write(ino, 30_000_000, "far");
  const data = (at: number): number => ok(h.files.seek(ino, at, 3));
  const hole = (at: number): number => ok(h.files.seek(ino, at, 4));
  t.same([data(0), data(11), data(14)], [10, 11, 30_000_000]);
  t.same([hole(0), hole(10), hole(13), hole(30_000_001)], [0, 14, 14, 30_000_003]);
  t.equal(h.files.seek(ino, 30_000_003, 3), ENXIO);
  t.equal(h.files.seek(ino, 40_000_000, 4), ENXIO);
  t.equal(h.files.seek(ino, 0, 0), EINVAL);
  const full = h.make("full");
  h.write(full, 0, "xyz");
  t.equal(h.files.seek(full, 1, 4), 3, "the end is a hole");
});

t.test("copy_file_range shares extents and stores nothing", async (t) => {
  const h = await open(t);
  const a = h.make("a");
  const b = h.make("b");
  h.write(a, 0, "0123456789");
  const { storedBytes } = h.store.statistics();
  const copy = (from: number, at: number, to: number, start: number, length: number): number =>
    ok(h.files.copyRange({ ino: from, offset: at }, { ino: to, offset: start }, length));
  t.equal(copy(a, 2, b, 0, 5), 5);
  t.equal(copy(a, 0, b, 7, 100), 10, "as much as there is");
  t.equal(h.text(b), "23456\0\x000123456789");
  t.equal(copy(a, 10, b, 0, 1), 0, "at the end");
  t.equal(copy(a, 0, a, 5, 5), 5, "within one file");
  t.equal(h.text(a), "0123401234");
  t.equal(h.files.copyRange({ ino: a, offset: 0 }, { ino: a, offset: 4 }, 5), EINVAL);
  t.equal(h.store.statistics().storedBytes, storedBytes);
  t.same(h.stat(b).mtime, h.stat(b).ctime);
});

t.test("copy_file_range copies a file of very many pieces part by part", async (t) => {
  const h = await open(t);
  const a = h.make("a");
  const b = h.make("b");
  for (let k = 0; k < 2_500; k++) h.write(a, 2 * k, String.fromCharCode(97 + (k % 26)));
  let at = 0;
  let calls = 0;
  for (;;) {
    const copied = ok(h.files.copyRange({ ino: a, offset: at }, { ino: b, offset: at }, 1e9));
    if (copied === 0) break;
    at += copied;
    calls++;
  }
  t.ok(calls > 1);
  t.ok(h.read(b).equals(h.read(a)));
});

t.test(
  "an unlinked file lives while it is open, and goes when the kernel forgets it",
  async (t) => {
    for (const order of ["release first", "forget first"]) {
      const h = await open(t);
      const ino = h.make("a");
      const { handle } = ok(h.files.open(ino, RDWR, ROOT_CALLER));
      h.write(ino, 0, "still here");
      t.equal(h.files.unlink(ROOT, "a"), 0);
      t.equal(h.stat(ino).nlink, 0);
      h.write(ino, 10, "!");
      t.equal(h.text(ino), "still here!");
      if (order === "release first") h.files.release(ino, handle);
      else h.files.forget(ino);
      await h.files.orphans.idle();
      t.equal(h.text(ino), "still here!", order);
      if (order === "release first") h.files.forget(ino);
      else h.files.release(ino, handle);
      await h.files.orphans.idle();
      t.equal(h.store.inode(ino), undefined, order);
      t.same([...h.store.orphans()], []);
      t.match(h.store.statistics(), { storedBytes: 0, units: 0, logicalBytes: 0 });
    }
  },
);

t.test("a forgotten file with a name stays", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  h.files.forget(ino);
  await h.files.orphans.idle();
  t.equal(h.stat(ino).nlink, 1);
  h.files.unlink(ROOT, "a");
  t.equal(h.stat(ino).nlink, 0);
  h.files.forget(ino);
  await h.files.orphans.idle();
  t.equal(h.store.inode(ino), undefined);
});

t.test("an orphan that nobody knows goes with time, one that is known stays", async (t) => {
  const known = new Set<number>();
  const h = await Harness.open({ isKnown: (ino) => known.has(ino) });
  t.teardown(() => h.close());
  const a = h.make("a");
  const b = h.make("b");
  const c = h.make("c");
  known.add(b);
  const { handle } = ok(h.files.open(c, RDWR, ROOT_CALLER));
  for (const name of ["a", "b", "c"]) h.files.unlink(ROOT, name);
  for (let k = 0; k < 5; k++) h.files.orphans.tick();
  await h.files.orphans.idle();
  t.equal(h.store.inode(a), undefined);
  t.equal(h.stat(b).nlink, 0);
  t.equal(h.stat(c).nlink, 0);
  h.files.release(c, handle);
  known.clear();
  for (let k = 0; k < 40; k++) h.files.orphans.tick();
  await h.files.orphans.idle();
  t.same([...h.store.orphans()], []);
});

t.test("the end of a large orphan takes turns", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  for (let k = 0; k < 5_000; k++) h.write(ino, 3 * k, "x");
  ok(h.files.setAttributes(ino, { size: 2 ** 50 }));
  h.files.unlink(ROOT, "a");
  const sizes: number[] = [];
  const commit = h.store.commit.bind(h.store);
  h.store.commit = (changes) => {
    const splice = changes.find((change) => change.type === "splice");
    if (splice !== undefined) {
      sizes.push(h.store.extents(ino, splice.offset, splice.remove).length);
    }
    commit(changes);
  };
  h.files.forget(ino);
  t.equal(h.files.link(ino, ROOT, "late"), ENOENT, "what is being dropped gets no name");
  await h.files.orphans.idle();
  t.equal(h.store.inode(ino), undefined);
  t.ok(sizes.length >= 5, `${sizes.length} turns`);
  t.ok(Math.max(...sizes) <= 2_000);
  t.equal(h.store.statistics().units, 0);
});

t.test("dropping waits for room on a full disk", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  h.write(ino, 0, "x");
  h.files.unlink(ROOT, "a");
  const commit = h.store.commit.bind(h.store);
  h.store.commit = () => {
    throw new StoreError("STORE_FULL", "full");
  };
  h.files.forget(ino);
  await h.files.orphans.idle();
  t.equal(h.stat(ino).nlink, 0);
  h.store.commit = commit;
  h.files.orphans.tick();
  await h.files.orphans.idle();
  t.equal(h.store.inode(ino), undefined);
});

t.test("orphans of an earlier run are dropped at the start", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  const directory = h.makeDirectory("d");
  h.write(ino, 0, "x");
  ok(h.files.open(ino, RDWR, ROOT_CALLER));
  h.files.unlink(ROOT, "a");
  h.files.removeDirectory(ROOT, "d");
  const unnamed = ok(h.files.createUnnamed(ROOT, 0o600, RDWR, ALICE)).attributes.ino;
  await h.reopen();
  for (const gone of [ino, directory, unnamed]) t.equal(h.store.inode(gone), undefined);
  t.equal(h.store.statistics().units, 0);
});

t.test("an unnamed file can be linked, or goes when it is closed", async (t) => {
  const h = await open(t);
  const made = ok(h.files.createUnnamed(ROOT, 0o640, RDWR, ALICE));
  const { ino, nlink, mode } = made.attributes;
  t.match({ nlink, mode }, { nlink: 0, mode: S_IFREG | 0o640 });
  t.same(await h.names(), []);
  h.write(ino, 0, "named later");
  t.match(ok(h.files.link(ino, ROOT, "name")), { ino, nlink: 1 });
  h.files.release(ino, made.open.handle);
  h.files.forget(ino);
  await h.files.orphans.idle();
  t.equal(h.text(ino), "named later");
  const other = ok(h.files.createUnnamed(ROOT, 0o640, RDWR, ALICE));
  h.files.release(other.attributes.ino, other.open.handle);
  h.files.forget(other.attributes.ino);
  await h.files.orphans.idle();
  t.equal(h.store.inode(other.attributes.ino), undefined);
});

t.test("handles are not given twice, not even by the next run", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  const seen = new Set<number>();
  const first = ok(h.files.open(ino, RDWR, ROOT_CALLER)).handle;
  h.files.release(ino, first);
  for (let k = 0; k < 100; k++) seen.add(ok(h.files.open(ino, RDWR, ROOT_CALLER)).handle);
  t.equal(seen.size, 100);
  t.notOk(seen.has(first));
  t.ok(Math.max(...seen) <= Number.MAX_SAFE_INTEGER);
});

t.test("extended attributes: namespaces, flags and limits", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  const set = (name: string, value: string | Buffer, flags = 0): number =>
    h.files.setXattr(ino, name, Buffer.from(value as string), flags);
  t.equal(set("user.a", "1"), 0);
  t.equal(set("user.a", "2", 1), EEXIST);
  t.equal(set("user.b", "2", 2), ENODATA);
  t.equal(set("user.a", "22", 2), 0);
  t.equal(set("security.x", ""), 0);
  t.equal(set("trusted.y", "z", 1), 0);
  t.same(h.files.getXattr(ino, "user.a"), Buffer.from("22"));
  t.same(h.files.getXattr(ino, "security.x"), Buffer.alloc(0));
  t.equal(h.files.getXattr(ino, "user.none"), ENODATA);
  t.same([...ok(h.files.listXattr(ino))].sort(), ["security.x", "trusted.y", "user.a"]);
  t.equal(set("system.posix_acl_access", "x"), EOPNOTSUPP);
  t.equal(h.files.getXattr(ino, "system.posix_acl_access"), EOPNOTSUPP);
  t.equal(set("other.x", "x"), EOPNOTSUPP);
  t.equal(set("user.", "x"), EINVAL);
  t.equal(set(`user.${"n".repeat(251)}`, "x"), ERANGE);
  t.equal(set(`user.${"n".repeat(250)}`, "x"), 0);
  t.equal(set("user.big", Buffer.alloc(65_537)), E2BIG);
  t.equal(set("user.big", Buffer.alloc(65_536)), 0);
  t.equal(set("user.big2", Buffer.alloc(65_536)), ENOSPC);
  t.equal(set("user.big", Buffer.alloc(65_536)), 0, "a value may replace itself");
  const before = h.stat(ino).ctime;
  t.equal(h.files.removeXattr(ino, "user.big"), 0);
  t.ok(h.stat(ino).ctime.sec > before.sec);
  t.equal(h.files.removeXattr(ino, "user.big"), ENODATA);
  await h.reopen();
  t.same(h.files.getXattr(ino, "user.a"), Buffer.from("22"));
});

t.test("statfs tells the disk's free space", async (t) => {
  const h = await open(t);
  const before = h.files.statFileSystem();
  t.match(before, { nameLengthMax: 255 });
  t.ok(before.blocks >= before.blocksFree && before.blocksFree >= before.blocksAvailable);
  t.ok(before.blocksAvailable > 0 && before.blockSize >= 512);
  const space = h.store.space();
  t.equal(before.blocks * before.blockSize, space.blocks * space.blockSize);
});

t.test("flush drops the owner's POSIX locks, release those of its open file", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  const base = { handle: 7, start: 0, end: Number.MAX_SAFE_INTEGER, pid: 3 } as const;
  const posix = { ...base, owner: 1n, flavor: "posix", type: "write" } as const;
  const flock = { ...base, owner: 2n, flavor: "flock", type: "write" } as const;
  t.equal(h.files.setLock(ino, posix), 0);
  t.equal(h.files.setLock(ino, flock), 0);
  t.match(h.files.getLock(ino, { ...posix, owner: 9n }), { type: "write", pid: 3 });
  t.equal(h.files.flush(ino, 7, 1n), 0);
  t.equal(h.files.getLock(ino, { ...posix, owner: 9n }), undefined);
  t.equal(h.locks.hasLocks(ino), true);
  h.files.release(ino, 7);
  t.equal(h.locks.hasLocks(ino), false);
});

import t, { type Test } from "tap";
import {
  EBADF,
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  EMLINK,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  ENOTTY,
  ENXIO,
  EPERM,
  ESTALE,
} from "../base/errno.ts";
import {
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFREG,
  S_IFSOCK,
  S_ISGID,
} from "../fs/attributes.ts";
import type { Caller } from "../fs/caller.ts";
import { HINT_COMMAND } from "../fs/hints/ioctl.ts";
import { ALICE, Harness, ok, RDWR, ROOT, ROOT_CALLER } from "./files-harness.ts";

const NOREPLACE = 1;
const EXCHANGE = 2;

async function open(test: Test): Promise<Harness> {
  const h = await Harness.open();
  test.teardown(() => h.close());
  return h;
}

t.test("a new file is the caller's and changes its directory's times", async (t) => {
  const h = await open(t);
  const before = h.stat(ROOT);
  const made = ok(h.files.makeNode(ROOT, "a", S_IFREG | 0o640, 0, ALICE));
  t.match(made, { mode: S_IFREG | 0o640, uid: 1001, gid: 2001, nlink: 1, size: 0, rdev: 0 });
  t.same([made.atime, made.ctime], [made.mtime, made.mtime]);
  const after = h.stat(ROOT);
  t.same([after.mtime, after.ctime], [made.mtime, made.mtime]);
  t.same(after.atime, before.atime);
  t.equal(after.nlink, before.nlink);
  t.equal(ok(h.files.lookup(ROOT, "a")).ino, made.ino);
  t.same(h.changed, ["1/a"]);
});

t.test("mknod makes every type but a directory and a symbolic link", async (t) => {
  const h = await open(t);
  for (const type of [S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK]) {
    const name = `n${type}`;
    const made = ok(h.files.makeNode(ROOT, name, type | 0o4600, 0x0103, ROOT_CALLER));
    const device = type === S_IFCHR || type === S_IFBLK;
    t.match(made, { mode: type | 0o4600, rdev: device ? 0x0103 : 0 });
  }
  t.equal(ok(h.files.makeNode(ROOT, "typeless", 0o600, 0, ROOT_CALLER)).mode, S_IFREG | 0o600);
  t.equal(h.files.makeNode(ROOT, "d", S_IFDIR | 0o755, 0, ROOT_CALLER), EPERM);
  t.equal(h.files.makeNode(ROOT, "l", S_IFLNK | 0o755, 0, ROOT_CALLER), EINVAL);
  const handles = h.files.open(ok(h.files.lookup(ROOT, `n${S_IFIFO}`)).ino, RDWR, ROOT_CALLER);
  t.equal(handles, ENXIO, "the kernel opens these itself");
});

t.test("a directory has 2 links and one more for each subdirectory", async (t) => {
  const h = await open(t);
  const root = h.stat(ROOT).nlink;
  const a = h.makeDirectory("a");
  t.match(h.stat(a), { mode: S_IFDIR | 0o755, nlink: 2 });
  h.makeDirectory("b", a);
  h.make("file", a);
  t.equal(h.stat(a).nlink, 3);
  t.equal(h.stat(ROOT).nlink, root + 1);
  t.equal(h.files.parentOf(a), ROOT);
  t.equal(h.files.parentOf(ROOT), ROOT);
  t.equal(h.files.removeDirectory(a, "b"), 0);
  t.equal(h.stat(a).nlink, 2);
  t.equal(h.files.removeDirectory(ROOT, "a"), ENOTEMPTY);
  t.equal(h.files.unlink(a, "file"), 0);
  t.equal(h.files.removeDirectory(ROOT, "a"), 0);
  t.equal(h.stat(ROOT).nlink, root);
});

t.test("entries of a set-gid directory take its group, directories its bit too", async (t) => {
  const h = await open(t);
  const shared = h.makeDirectory("shared");
  ok(h.files.setAttributes(shared, { mode: 0o2775, gid: 8 }));
  const file = ok(h.files.makeNode(shared, "f", S_IFREG | 0o660, 0, ALICE));
  t.match(file, { uid: 1001, gid: 8, mode: S_IFREG | 0o660 });
  const directory = ok(h.files.makeDirectory(shared, "d", 0o770, ALICE));
  t.match(directory, { uid: 1001, gid: 8, mode: S_IFDIR | S_ISGID | 0o770 });
  t.equal(ok(h.files.createUnnamed(shared, 0o600, RDWR, ALICE)).attributes.gid, 8);
  t.equal(ok(h.files.symlink(shared, "l", Buffer.from("f"), ALICE)).gid, 8);
});

t.test("impossible names are refused", async (t) => {
  const h = await open(t);
  const long = "n".repeat(255);
  h.make(long);
  t.equal(h.files.makeNode(ROOT, `${long}n`, S_IFREG, 0, ROOT_CALLER), ENAMETOOLONG);
  t.equal(h.files.lookup(ROOT, `${long}n`), ENAMETOOLONG);
  t.equal(h.files.unlink(ROOT, `${long}n`), ENAMETOOLONG);
  t.equal(h.files.rename(ROOT, long, ROOT, `${long}n`, 0), ENAMETOOLONG);
  for (const name of [".", "..", "a/b", "a\0b"]) {
    t.equal(h.files.makeDirectory(ROOT, name, 0o755, ROOT_CALLER), EINVAL, JSON.stringify(name));
  }
  t.equal(h.files.makeDirectory(ROOT, "", 0o755, ROOT_CALLER), ENOENT);
  t.equal(h.files.makeDirectory(ROOT, long, 0o755, ROOT_CALLER), EEXIST);
});

t.test("names are bytes: any but slash and NUL survive a reopening", async (t) => {
  const h = await open(t);
  const bytes = Array.from({ length: 255 }, (_, k) => String.fromCharCode(k + 1));
  const name = bytes.filter((byte) => byte !== "/").join("");
  const ino = h.make(name);
  await h.reopen();
  t.equal(ok(h.files.lookup(ROOT, name)).ino, ino);
  t.same(await h.names(), [name]);
});

t.test("a name is looked for in directories only", async (t) => {
  const h = await open(t);
  const file = h.make("file");
  t.equal(h.files.lookup(file, "x"), ENOTDIR);
  t.equal(h.files.makeNode(file, "x", S_IFREG, 0, ROOT_CALLER), ENOTDIR);
  t.equal(h.files.openDirectory(file), ENOTDIR);
  t.equal(h.files.lookup(ROOT, "missing"), ENOENT);
  t.equal(h.files.lookup(999_999, "missing"), ESTALE);
  t.equal(h.files.getAttributes(999_999), ESTALE);
});

t.test("unlink takes one name and changes the times of file and directory", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  ok(h.files.link(ino, ROOT, "b"));
  const before = h.stat(ino);
  t.equal(before.nlink, 2);
  t.equal(h.files.unlink(ROOT, "a"), 0);
  const after = h.stat(ino);
  t.equal(after.nlink, 1);
  t.same(after.mtime, before.mtime);
  t.ok(after.ctime.sec > before.ctime.sec);
  t.same(h.stat(ROOT).mtime, after.ctime);
  t.equal(h.files.unlink(ROOT, "a"), ENOENT);
  h.makeDirectory("d");
  t.equal(h.files.unlink(ROOT, "d"), EISDIR);
  t.equal(h.files.removeDirectory(ROOT, "b"), ENOTDIR);
  t.equal(h.files.removeDirectory(ROOT, "none"), ENOENT);
});

t.test("a removed directory takes no new names", async (t) => {
  const h = await open(t);
  const gone = h.makeDirectory("gone");
  const file = h.make("file");
  t.equal(h.files.removeDirectory(ROOT, "gone"), 0);
  t.equal(h.stat(gone).nlink, 0);
  t.equal(h.files.makeNode(gone, "x", S_IFREG, 0, ROOT_CALLER), ENOENT);
  t.equal(h.files.makeDirectory(gone, "x", 0o755, ROOT_CALLER), ENOENT);
  t.equal(h.files.link(file, gone, "x"), ENOENT);
  t.equal(h.files.rename(ROOT, "file", gone, "x", 0), ENOENT);
  t.equal(h.files.createUnnamed(gone, 0o600, RDWR, ROOT_CALLER), ENOENT);
  t.same(await h.names(gone), []);
});

t.test("a directory in which deliveries pend is not removed", async (t) => {
  const pending = new Set<number>();
  const h = await Harness.open({ hasPendingIn: (ino) => pending.has(ino) });
  t.teardown(() => h.close());
  const directory = h.makeDirectory("d");
  h.makeDirectory("other");
  pending.add(directory);
  t.equal(h.files.removeDirectory(ROOT, "d"), EBUSY);
  t.equal(h.files.rename(ROOT, "other", ROOT, "d", 0), EBUSY, "nor replaced");
  t.equal(h.files.rename(ROOT, "d", ROOT, "other", 0), 0, "but it can be renamed");
  pending.clear();
  t.equal(h.files.removeDirectory(ROOT, "other"), 0);
});

t.test("hard links share everything, and not of directories", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  h.write(ino, 0, "shared");
  const linked = ok(h.files.link(ino, ROOT, "b"));
  t.match(linked, { ino, nlink: 2, size: 6 });
  t.equal(h.files.link(ino, ROOT, "b"), EEXIST);
  t.equal(h.files.link(h.makeDirectory("d"), ROOT, "e"), EPERM);
  t.equal(h.files.link(999_999, ROOT, "f"), ESTALE);
  t.same(h.changed.slice(0, 2), ["1/a", "1/b"]);
});

t.test("a file has at most 65,000 names", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  h.store.commit([{ type: "attributes", ino, nlink: 65_000 }]);
  t.equal(h.files.link(ino, ROOT, "b"), EMLINK);
  h.store.commit([{ type: "attributes", ino, nlink: 1 }]);
});

t.test("a symbolic link keeps up to 4,095 bytes of any kind", async (t) => {
  const h = await open(t);
  const target = Buffer.alloc(4_095, 0xfe);
  const made = ok(h.files.symlink(ROOT, "l", target, ALICE));
  target.fill(0);
  t.equal(made.mode, S_IFLNK | 0o777);
  t.equal(made.size, 4_095);
  t.same(h.files.readLink(made.ino), Buffer.alloc(4_095, 0xfe), "a copy was kept");
  t.equal(h.files.symlink(ROOT, "m", Buffer.alloc(4_096, 97), ALICE), ENAMETOOLONG);
  t.equal(h.files.symlink(ROOT, "m", Buffer.alloc(0), ALICE), ENOENT);
  t.equal(h.files.readLink(h.make("file")), EINVAL);
  t.equal(h.files.open(made.ino, RDWR, ALICE), ELOOP);
  await h.reopen();
  t.same(h.files.readLink(made.ino), Buffer.alloc(4_095, 0xfe));
});

/** What stands at the two names before a rename. */
const KINDS = ["nothing", "file", "link", "emptyDirectory", "fullDirectory"] as const;
type Kind = (typeof KINDS)[number];

function make(h: Harness, kind: Kind, parent: number, name: string): number {
  switch (kind) {
    case "nothing":
      return 0;
    case "file":
      return h.make(name, parent);
    case "link":
      return ok(h.files.symlink(parent, name, Buffer.from("x"), ROOT_CALLER)).ino;
    default: {
      const ino = h.makeDirectory(name, parent);
      if (kind === "fullDirectory") h.makeDirectory("inside", ino);
      return ino;
    }
  }
}

const isDirectoryKind = (kind: Kind): boolean => kind.endsWith("Directory");

/** rename(2), as its manual page orders the rules. */
function expected(from: Kind, to: Kind, flags: number): number {
  if (from === "nothing") return ENOENT;
  if (flags === EXCHANGE) return to === "nothing" ? ENOENT : 0;
  if (to === "nothing") return 0;
  if (flags === NOREPLACE) return EEXIST;
  if (isDirectoryKind(from) && !isDirectoryKind(to)) return ENOTDIR;
  if (!isDirectoryKind(from) && isDirectoryKind(to)) return EISDIR;
  return to === "fullDirectory" ? ENOTEMPTY : 0;
}

for (const flags of [0, NOREPLACE, EXCHANGE]) {
  for (const sameDirectory of [true, false]) {
    t.test(`rename matrix, flags ${flags}, one directory: ${sameDirectory}`, async (t) => {
      const h = await open(t);
      for (const from of KINDS) {
        for (const to of KINDS) {
          const p = h.makeDirectory(`p-${from}-${to}`);
          const q = sameDirectory ? p : h.makeDirectory(`q-${from}-${to}`);
          const moved = make(h, from, p, "from");
          const replaced = make(h, to, q, "to");
          const want = expected(from, to, flags);
          const what = `${from} to ${to}`;
          t.equal(h.files.rename(p, "from", q, "to", flags), want, what);
          const atFrom = h.store.lookup(p, "from");
          const atTo = h.store.lookup(q, "to");
          if (want !== 0) t.same([atFrom, atTo], [moved, replaced], `${what}: nothing changed`);
          else if (flags === EXCHANGE) t.same([atFrom, atTo], [replaced, moved], what);
          else t.same([atFrom, atTo], [0, moved], what);
          checkLinks(t, h, p, what);
          checkLinks(t, h, q, what);
          if (want === 0 && flags !== EXCHANGE && replaced !== 0) {
            t.equal(h.stat(replaced).nlink, 0, `${what}: what was replaced has no name`);
          }
        }
      }
    });
  }
}

/** A directory's link count and its children's parents are what its entries say. */
function checkLinks(t: Test, h: Harness, ino: number, what: string): void {
  let links = 2;
  for (const name of ["from", "to"]) {
    const child = h.store.lookup(ino, name);
    if (child === 0 || (h.stat(child).mode & S_IFDIR) === 0) continue;
    if ((h.stat(child).mode & 0o170000) !== S_IFDIR) continue;
    links++;
    t.equal(h.files.parentOf(child), ino, `${what}: ${name} knows its parent`);
  }
  t.equal(h.stat(ino).nlink, links, `${what}: links of the directory`);
}

t.test("rename onto another name of the same file does nothing", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  ok(h.files.link(ino, ROOT, "b"));
  const before = h.stat(ino);
  t.equal(h.files.rename(ROOT, "a", ROOT, "b", 0), 0);
  t.equal(h.files.rename(ROOT, "a", ROOT, "a", 0), 0);
  t.same(h.stat(ino), before);
  t.same(await h.names(), ["a", "b"]);
  t.equal(h.files.rename(ROOT, "a", ROOT, "b", NOREPLACE), EEXIST);
});

t.test("rename leaves the other names of what it replaces", async (t) => {
  const h = await open(t);
  const old = h.make("old");
  ok(h.files.link(old, ROOT, "kept"));
  const fresh = h.make("fresh");
  t.equal(h.files.rename(ROOT, "fresh", ROOT, "old", 0), 0);
  t.equal(h.stat(old).nlink, 1);
  t.equal(h.store.lookup(ROOT, "kept"), old);
  t.equal(h.store.lookup(ROOT, "old"), fresh);
  t.same(h.changed.slice(-2), ["1/fresh", "1/old"]);
});

t.test("a directory cannot be moved into itself", async (t) => {
  const h = await open(t);
  const a = h.makeDirectory("a");
  const b = h.makeDirectory("b", a);
  const c = h.makeDirectory("c", b);
  h.makeDirectory("other");
  t.equal(h.files.rename(ROOT, "a", a, "x", 0), EINVAL);
  t.equal(h.files.rename(ROOT, "a", c, "x", 0), EINVAL);
  t.equal(h.files.rename(ROOT, "a", c, "x", EXCHANGE), ENOENT);
  t.equal(h.files.rename(ROOT, "a", b, "c", EXCHANGE), EINVAL);
  t.equal(h.files.rename(b, "c", ROOT, "a", EXCHANGE), EINVAL, "nor be swallowed by an exchange");
  t.equal(h.files.rename(b, "c", ROOT, "a", 0), ENOTEMPTY);
  t.equal(h.files.rename(a, "b", ROOT, "other", 0), 0);
  t.equal(h.files.parentOf(b), ROOT);
  t.equal(h.files.rename(ROOT, "a", c, "x", 0), 0, "b is no longer below a");
});

t.test("rename knows no further flags", async (t) => {
  const h = await open(t);
  h.make("a");
  for (const flags of [3, 4, 8, -1]) t.equal(h.files.rename(ROOT, "a", ROOT, "b", flags), EINVAL);
});

t.test("rename changes the times of both directories and of what it moves", async (t) => {
  const h = await open(t);
  const p = h.makeDirectory("p");
  const q = h.makeDirectory("q");
  const ino = h.make("a", p);
  const before = h.stat(ino);
  t.equal(h.files.rename(p, "a", q, "a", 0), 0);
  const { ctime, mtime } = h.stat(ino);
  t.ok(ctime.sec > before.ctime.sec);
  t.same(mtime, before.mtime);
  for (const directory of [p, q]) t.match(h.stat(directory), { mtime: ctime, ctime });
});

t.test("create opens what it makes", async (t) => {
  const h = await open(t);
  const { attributes, open: file } = ok(h.files.create(ROOT, "a", 0o600, RDWR, ALICE));
  t.match(attributes, { mode: S_IFREG | 0o600, uid: 1001 });
  t.match(file, { directIo: false, stream: false });
  const appending = ok(h.files.create(ROOT, "b", 0o600, RDWR | 0o2000, ALICE));
  t.equal(appending.open.directIo, true);
  t.not(appending.open.handle, file.handle);
});

t.test("create of a name that the kernel does not know yet makes it look again", async (t) => {
  const h = await open(t);
  h.make("a");
  t.equal(h.files.create(ROOT, "a", 0o600, RDWR, ALICE), ESTALE);
  t.equal(h.files.create(ROOT, "a", 0o600, RDWR | 0o200, ALICE), EEXIST, "O_EXCL");
});

t.test(
  "a large directory is listed in pieces, each name once, whatever else happens",
  async (t) => {
    const h = await open(t);
    const want: string[] = [];
    for (let k = 0; k < 500; k++) {
      h.make(`f${k}`);
      want.push(`f${k}`);
    }
    const handle = ok(h.files.openDirectory(ROOT));
    const got: string[] = [];
    let cookie = 0;
    for (let round = 0; ; round++) {
      const entries = ok(await h.files.readDirectory(ROOT, handle, cookie, 7));
      const last = entries.at(-1);
      if (last === undefined) break;
      t.ok(entries.length <= 7);
      for (const entry of entries) got.push(entry.name);
      t.ok(last.cookie > cookie);
      cookie = last.cookie;
      h.make(`late${round}`);
    }
    t.same(got.filter((name) => name.startsWith("f")).sort(), want.sort());
    h.files.unlink(ROOT, "f0");
    const again = ok(await h.files.readDirectory(ROOT, handle, 0, 10_000));
    t.notOk(
      again.some((entry) => entry.name === "f0"),
      "a rewind shows what is there now",
    );
    t.ok(again.some((entry) => entry.name === "late0"));
    h.files.releaseDirectory(handle);
    t.same(
      ok(await h.files.readDirectory(ROOT, handle, cookie, 1)).length,
      1,
      "an old handle works",
    );
  },
);

t.test("the control file is found, not listed, and its name is taken", async (t) => {
  const h = await open(t);
  const name = ".onespool";
  const control = ok(h.files.lookup(ROOT, name));
  t.match(control, { ino: 2, mode: S_IFREG | 0o666, uid: 0, gid: 0, size: 0, nlink: 1 });
  t.same(h.files.getAttributes(2), control);
  t.same(await h.names(), []);
  const file = h.make("file");
  t.equal(h.files.makeNode(ROOT, name, S_IFREG, 0, ALICE), EEXIST);
  t.equal(h.files.create(ROOT, name, 0o600, RDWR, ALICE), EEXIST);
  t.equal(h.files.makeDirectory(ROOT, name, 0o755, ALICE), EEXIST);
  t.equal(h.files.symlink(ROOT, name, Buffer.from("x"), ALICE), EEXIST);
  t.equal(h.files.link(file, ROOT, name), EEXIST);
  t.equal(h.files.link(2, ROOT, "copy"), EPERM);
  t.equal(h.files.rename(ROOT, "file", ROOT, name, 0), EPERM);
  t.equal(h.files.rename(ROOT, name, ROOT, "x", 0), EPERM);
  t.equal(h.files.unlink(ROOT, name), EPERM);
  t.equal(h.files.removeDirectory(ROOT, name), EPERM);
  t.same(h.files.setAttributes(2, { size: 0 }), control);
  t.equal(h.files.setAttributes(2, { mode: 0o600 }), EPERM);
  const other = h.makeDirectory("d");
  t.type(h.make(name, other), "number", "elsewhere it is a name like any other");
});

t.test("the control file and ioctls speak to the hints as the opener", async (t) => {
  const log: string[] = [];
  const h = await Harness.open({
    hints: {
      open: ({ uid }) => {
        log.push(`open ${uid}`);
        return {
          write: (data) => data.length,
          read: (lengthMax) => Buffer.alloc(Math.min(3, lengthMax), 120),
          ioctl: (command) => ({ result: command, data: Buffer.alloc(0) }),
          close: () => log.push(`close ${uid}`),
        };
      },
    },
  });
  t.teardown(() => h.close());
  const file = ok(h.files.open(2, RDWR, ALICE));
  t.match(file, { directIo: true, stream: true });
  const request = { ino: 2, offset: 0, data: Buffer.from("hello"), flags: RDWR };
  const mine = { ...request, handle: file.handle };
  t.same(h.files.write(mine, ALICE), { offset: 0, length: 5 });
  t.equal(h.files.write(mine, ROOT_CALLER), EPERM, "another uid");
  t.equal(h.files.write({ ...mine, handle: 12_345 }, ALICE), EBADF);
  t.same(h.files.read(2, file.handle, 0, 100, ALICE), [Buffer.from("xxx")]);
  t.equal(h.files.read(2, file.handle, 0, 100, ROOT_CALLER), EPERM);
  h.files.release(2, file.handle);
  t.same(log, ["open 1001", "close 1001"]);

  const ino = h.make("f");
  const { handle } = ok(h.files.open(ino, RDWR, ALICE));
  const ioctl = (caller: Caller): unknown =>
    h.files.ioctl(ino, handle, HINT_COMMAND, Buffer.alloc(0), 0, caller);
  t.match(ioctl(ALICE), { result: HINT_COMMAND });
  t.match(ioctl(ALICE), { result: HINT_COMMAND });
  t.equal(ioctl(ROOT_CALLER), EPERM);
  t.equal(h.files.ioctl(ino, handle, 0x5401, Buffer.alloc(0), 0, ALICE), ENOTTY, "isatty");
  h.files.release(ino, handle);
  t.same(log.slice(2), ["open 1001", "close 1001"]);
});

import t from "tap";
import { S_IFDIR, S_IFREG } from "../fs/attributes.ts";
import { MAY_EXECUTE, MAY_READ, MAY_WRITE, mayAccess, mayCreateIn } from "../fs/permissions.ts";

const root = { uid: 0, gid: 0, pid: 1, groups: [] };
const owner = { uid: 5, gid: 50, pid: 1, groups: [] };
const member = { uid: 6, gid: 60, pid: 1, groups: [70, 50] };
const other = { uid: 7, gid: 70, pid: 1, groups: [] };

const file = (mode: number) => ({ mode: S_IFREG | mode, uid: 5, gid: 50 });
const directory = (mode: number) => ({ mode: S_IFDIR | mode, uid: 5, gid: 50 });

t.test("each class of users has its own bits, and only those", async (t) => {
  for (let mode = 0; mode < 0o1000; mode++) {
    for (const wanted of [MAY_READ, MAY_WRITE, MAY_EXECUTE, MAY_READ | MAY_WRITE]) {
      const has = (shift: number): boolean => ((mode >> shift) & wanted) === wanted;
      const allowed = [owner, member, other].map((who) => mayAccess(file(mode), who, wanted));
      if (allowed.join() !== [has(6), has(3), has(0)].join()) {
        t.fail(`mode ${mode.toString(8)}, wanted ${wanted}: ${allowed.join()}`);
      }
    }
  }
  t.equal(mayAccess(file(0o077), owner, MAY_READ), false, "the owner's class comes first");
  t.equal(mayAccess(file(0o707), member, MAY_READ), false, "and the group's before the others'");
});

t.test("a primary group counts like a supplementary one", async (t) => {
  t.equal(mayAccess(file(0o040), { ...other, gid: 50 }, MAY_READ), true);
  t.equal(mayAccess(file(0o040), { ...other, groups: [50] }, MAY_READ), true);
  t.equal(mayAccess(file(0o040), other, MAY_READ), false);
});

t.test("root reads and writes all, and executes what somebody may", async (t) => {
  t.equal(mayAccess(file(0), root, MAY_READ | MAY_WRITE), true);
  t.equal(mayAccess(file(0o666), root, MAY_EXECUTE), false);
  t.equal(mayAccess(file(0o001), root, MAY_EXECUTE), true);
  t.equal(mayAccess(directory(0), root, MAY_EXECUTE), true);
});

t.test("names are made with write and search permission", async (t) => {
  t.equal(mayCreateIn(directory(0o300), owner), true);
  t.equal(mayCreateIn(directory(0o200), owner), false);
  t.equal(mayCreateIn(directory(0o100), owner), false);
  t.equal(mayCreateIn(directory(0o003), other), true);
});

import t from "tap";
import { ENOTEMPTY } from "../base/errno.ts";
import { DOTLOCK_SECONDS_MAX } from "../fs/delivery/dotlock-rule.ts";
import { PENDING_PER_NAME_MAX, pendingLimits } from "../fs/delivery/pending-limits.ts";
import { ALICE, BOB, exchange, Harness, ROOT, ROOT_CALLER } from "./hints-harness.ts";

let harness: Harness;
t.beforeEach(async () => {
  harness = await Harness.open();
});
t.afterEach(() => harness.close());

t.test("a delivery to a free mailbox is there when it is answered", async (t) => {
  harness.fileAt("a", "old ");
  t.match(await harness.deliver("new", ["a"]), { ok: true, delivered: 1, pending: 0 });
  t.equal(harness.text("a"), "old new");
});

for (const flavor of ["posix", "flock"] as const) {
  t.test(
    `under a ${flavor} write lock a delivery pends, and shows when it is released`,
    async (t) => {
      const ino = harness.fileAt("a", "old ");
      harness.fileAt("b");
      harness.lock(ino, "write", 99, flavor);
      t.match(await harness.deliver("new", ["a", "b"]), { ok: true, delivered: 2, pending: 1 });
      t.equal(harness.text("a"), "old ");
      t.equal(harness.text("b"), "new", "the others do not wait");
      harness.deliveries.check();
      harness.invalidated.length = 0;
      harness.sec += 5;
      harness.lock(ino, "unlock", 99, flavor);
      t.equal(harness.text("a"), "old new");
      t.equal(harness.store.inode(ino)?.mtimeSec, harness.sec);
      t.strictSame(harness.invalidated, [`${ino}@4`]);
      t.equal(harness.store.statistics().pending, 0);
    },
  );
}

t.test("a file does not grow under a reader's lock", async (t) => {
  const ino = harness.fileAt("a");
  harness.lock(ino, "read");
  t.match(await harness.deliver("new", ["a"]), { pending: 1 });
  t.equal(harness.text("a"), "");
  harness.lock(ino, "unlock");
  t.equal(harness.text("a"), "new");
});

t.test("a write lock that becomes a read lock holds deliveries up until that goes", async (t) => {
  const ino = harness.fileAt("a");
  harness.lock(ino, "write");
  await harness.deliver("new", ["a"]);
  harness.lock(ino, "read");
  t.equal(harness.text("a"), "");
  harness.lock(ino, "unlock");
  t.equal(harness.text("a"), "new");
});

t.test("pending deliveries show in the order of their arrival, private bytes first", async (t) => {
  const ino = harness.fileAt("a", "0 ");
  harness.lock(ino, "write");
  for (const k of [1, 2, 3]) await harness.deliver(`body${k} `, ["a"], [`head${k} `]);
  harness.lock(ino, "unlock");
  t.equal(harness.text("a"), "0 head1 body1 head2 body2 head3 body3 ");
});

t.test("more deliveries than one commit shows all show in order", async (t) => {
  const ino = harness.fileAt("a");
  harness.lock(ino, "write");
  const all: Promise<unknown>[] = [];
  for (let k = 0; k < 600; k++) all.push(harness.deliver(`${k} `, ["a"]));
  await Promise.all(all);
  harness.lock(ino, "unlock");
  t.equal(harness.text("a"), Array.from({ length: 600 }, (_, k) => `${k} `).join(""));
});

t.test("deliveries of very many extents show in several commits, in order", async (t) => {
  const ino = harness.fileAt("a");
  harness.lock(ino, "write");
  const session = harness.session();
  const { units } = await exchange(session, { op: "write", lengths: [1, 1] }, "xy");
  const [x, y] = units as string[];
  const shared = Array.from({ length: 4_096 }, (_, k) => ({ unit: k % 2 === 0 ? x : y }));
  for (let k = 0; k < 20; k++) {
    await exchange(session, { op: "deliver", shared, to: [{ path: "a" }] });
    await exchange(session, { op: "deliver", shared: [{ bytes: 1 }], to: [{ path: "a" }] }, "-");
  }
  harness.invalidated.length = 0;
  harness.lock(ino, "unlock");
  t.equal(harness.text("a"), `${"xy".repeat(2_048)}-`.repeat(20));
  t.strictSame(harness.invalidated, [`${ino}@0`, `${ino}@${15 * 4_097}`]);
  session.close();
});

t.test(
  "a delivery goes behind those that pend on the name, even if the lock is gone",
  async (t) => {
    harness.fileAt("a");
    harness.fileAt("a.lock");
    await harness.deliver("1", ["a"]);
    // The lock goes without anybody being told: only its age says so.
    harness.sec += DOTLOCK_SECONDS_MAX;
    t.match(await harness.deliver("2", ["a"]), { pending: 1 });
    t.equal(harness.text("a"), "");
    harness.deliveries.tick();
    t.equal(harness.text("a"), "12");
  },
);

t.test("a mailbox that was renamed over gets what pends on its name", async (t) => {
  const old = harness.fileAt("a", "old ");
  harness.lock(old, "write");
  await harness.deliver("new", ["a"]);
  harness.fileAt("a.tmp", "rewritten ");
  harness.rename("a.tmp", "a");
  t.equal(harness.text("a"), "rewritten new");
  harness.lock(old, "unlock");
  t.equal(harness.text("a"), "rewritten new");
});

t.test("a delivery waits for the lock on the file that has the name now", async (t) => {
  const old = harness.fileAt("a", "old ");
  const next = harness.fileAt("b", "next ");
  harness.lock(old, "write");
  harness.lock(next, "write", 98);
  await harness.deliver("new", ["a"]);
  harness.rename("b", "a");
  harness.lock(old, "unlock");
  t.equal(harness.text("a"), "next ");
  harness.lock(next, "unlock", 98);
  t.equal(harness.text("a"), "next new");
});

t.test("a mailbox that was removed is made again with its owner and mode", async (t) => {
  const old = harness.fileAt("a", "old ", 0o640, ALICE);
  harness.lock(old, "write");
  await harness.deliver("new", ["a"], ["own "]);
  harness.invalidated.length = 0;
  harness.unlink("a");
  t.equal(harness.text("a"), "own new");
  const inode = harness.store.inode(harness.ino("a"));
  t.match(inode, { mode: 0o100640, uid: ALICE.uid, gid: ALICE.gid, nlink: 1 });
  t.ok(harness.invalidated.includes(`${ROOT}@-1`), "the directory has changed");
});

t.test("a mailbox that is to be made under a dotlock is made when the dotlock goes", async (t) => {
  harness.fileAt("a.lock");
  const create = { mode: 0o600, uid: ALICE.uid, gid: ALICE.gid };
  t.match(await harness.deliver("new", [{ path: "a", create }]), { delivered: 1, pending: 1 });
  t.equal(harness.text("a"), "(none)");
  harness.unlink("a.lock");
  t.equal(harness.text("a"), "new");
  t.match(harness.store.inode(harness.ino("a")), { uid: ALICE.uid, gid: ALICE.gid });
});

const dotlocks: readonly {
  what: string;
  owner: { uid: number; gid: number; pid: number };
  ageSec: number;
  counts: boolean;
}[] = [
  { what: "root's", owner: ROOT_CALLER, ageSec: 0, counts: true },
  { what: "the mailbox owner's", owner: ALICE, ageSec: 599, counts: true },
  {
    what: "one of the mailbox's group",
    owner: { ...BOB, gid: ALICE.gid },
    ageSec: 1,
    counts: true,
  },
  { what: "a stranger's", owner: BOB, ageSec: 0, counts: false },
  { what: "one of ten minutes ago", owner: ALICE, ageSec: 600, counts: false },
  { what: "one from ten minutes ahead", owner: ALICE, ageSec: -600, counts: false },
  { what: "one from shortly ahead", owner: ALICE, ageSec: -5, counts: true },
];
for (const { what, owner, ageSec, counts } of dotlocks) {
  t.test(`of dotlocks, ${what} ${counts ? "counts" : "does not count"}`, async (t) => {
    harness.fileAt("a", "", 0o660, ALICE);
    harness.fileAt("a.lock", "", 0o600, owner);
    harness.sec += ageSec;
    t.match(await harness.deliver("new", ["a"]), { pending: counts ? 1 : 0 });
    t.equal(harness.text("a"), counts ? "" : "new");
    if (!counts) return;
    harness.unlink("a.lock");
    t.equal(harness.text("a"), "new");
  });
}

t.test("a dotlock may be a link or a directory", async (t) => {
  harness.fileAt("a");
  harness.linkAt("a.lock", "host.pid");
  harness.fileAt("b");
  harness.directoryAt("b.lock");
  t.match(await harness.deliver("new", ["a", "b"]), { pending: 2 });
});

t.test("a name too long for a dotlock beside it is never locked by one", async (t) => {
  const name = "n".repeat(255);
  harness.fileAt(name);
  t.match(await harness.deliver("new", [name]), { pending: 0 });
});

t.test("a dotlock that is moved away lets deliveries show", async (t) => {
  harness.fileAt("a");
  harness.fileAt("a.lock");
  await harness.deliver("new", ["a"]);
  harness.rename("a.lock", "elsewhere");
  t.equal(harness.text("a"), "new");
});

t.test("what pends survives a restart, and shows when no lock is left", async (t) => {
  const ino = harness.fileAt("a", "old ");
  harness.fileAt("b");
  harness.fileAt("b.lock");
  harness.lock(ino, "write");
  await harness.deliver("1 ", ["a", "b"], ["x ", "y "]);
  await harness.deliver("2 ", ["a", "b"]);
  t.equal(harness.store.statistics().pending, 4);
  await harness.restart();
  t.equal(harness.text("a"), "old x 1 2 ", "nobody holds fcntl locks after a restart");
  t.equal(harness.text("b"), "", "a dotlock still stands");
  t.equal(harness.deliveries.pendingNameCount, 1);
  await harness.restart();
  harness.unlink("b.lock");
  t.equal(harness.text("b"), "y 1 2 ");
});

t.test("a link put in the mailbox's place gets nothing", async (t) => {
  const ino = harness.fileAt("a", "", 0o600, ALICE);
  harness.fileAt("victim", "", 0o600, BOB);
  harness.lock(ino, "write");
  await harness.deliver("new", ["a"]);
  harness.unlink("a");
  t.equal(harness.text("a"), "new", "it is free at once, so it is made again");

  harness.lock(harness.ino("a"), "write", 97);
  await harness.deliver("more", ["a"]);
  harness.linkAt("link", "victim", ALICE);
  harness.rename("link", "a");
  harness.deliveries.tick();
  t.equal(harness.text("victim"), "");
  t.equal(harness.store.statistics().pending, 1);
  harness.unlink("a");
  t.equal(harness.text("a"), "more");
});

t.test("another user's file put in the mailbox's place gets nothing", async (t) => {
  const ino = harness.fileAt("a", "", 0o600, ALICE);
  harness.fileAt("victim", "", 0o600, BOB);
  harness.lock(ino, "write");
  await harness.deliver("new", ["a"]);
  harness.hardLinkAt("second", "victim");
  harness.rename("second", "a");
  harness.deliveries.tick();
  t.equal(harness.text("victim"), "");
  t.equal(harness.store.statistics().pending, 1);
});

t.test(
  "a directory with pending deliveries is not empty; if it goes all the same they go too",
  async (t) => {
    const directory = harness.directoryAt("d");
    const ino = harness.fileAt("d/a");
    harness.fileAt("d/a.lock");
    harness.lock(ino, "write");
    await harness.deliver("new", ["d/a"]);
    t.ok(harness.deliveries.hasPendingIn(directory));
    t.equal(harness.files.removeDirectory(ROOT, "d"), ENOTEMPTY);
    harness.store.commit([
      { type: "unname", parent: directory, name: "a" },
      { type: "unname", parent: directory, name: "a.lock" },
      { type: "unname", parent: ROOT, name: "d" },
      { type: "attributes", ino: directory, nlink: 0 },
    ]);
    harness.deliveries.tick();
    t.equal(harness.store.statistics().pending, 0);
    t.notOk(harness.deliveries.hasPendingIn(directory));
  },
);

t.test("a file that was made too long gets nothing until it is shorter", async (t) => {
  const ino = harness.fileAt("a");
  harness.lock(ino, "write");
  await harness.deliver("new", ["a"]);
  const length = Number.MAX_SAFE_INTEGER - 2;
  const extents = [{ unit: 0, offset: 0, length }];
  harness.store.commit([{ type: "splice", ino, offset: 0, remove: 0, extents }]);
  harness.lock(ino, "unlock");
  t.equal(harness.store.statistics().pending, 1);
  harness.store.commit([{ type: "splice", ino, offset: 0, remove: length, extents: [] }]);
  harness.deliveries.tick();
  t.equal(harness.text("a"), "new");
});

t.test("a directory that moves takes its pending deliveries along", async (t) => {
  harness.directoryAt("d");
  const ino = harness.fileAt("d/a");
  harness.lock(ino, "write");
  await harness.deliver("new", ["d/a"]);
  harness.rename("d", "e");
  harness.lock(ino, "unlock");
  t.equal(harness.text("e/a"), "new");
});

t.test("a hard link: deliveries pend on the name that was used", async (t) => {
  const ino = harness.fileAt("a");
  harness.hardLinkAt("b", "a");
  harness.lock(ino, "write");
  await harness.deliver("1", ["a"]);
  await harness.deliver("2", ["b"]);
  harness.fileAt("new");
  harness.rename("new", "b");
  t.equal(harness.text("b"), "2");
  harness.lock(ino, "unlock");
  t.equal(harness.text("a"), "1");
});

t.test("a name takes only so many pending deliveries", async (t) => {
  const ino = harness.fileAt("a");
  harness.fileAt("b");
  harness.lock(ino, "write");
  const all: Promise<unknown>[] = [];
  for (let k = 0; k < PENDING_PER_NAME_MAX; k++) all.push(harness.deliver("x", ["a"]));
  await Promise.all(all);
  const before = harness.picture();
  t.match(await harness.deliver("x", ["b", "a"]), {
    ok: false,
    error: "EAGAIN",
    reason: "tooManyPending",
    path: "a",
  });
  t.strictSame(harness.picture(), before);
  harness.lock(ino, "unlock");
  t.equal(harness.text("a").length, PENDING_PER_NAME_MAX);
});

for (const [what, limits] of [
  ["names", { names: 2 }],
  ["deliveries", { deliveries: 2 }],
  ["extents", { extents: 5 }],
] as const) {
  t.test(`all names together take only so many pending ${what}`, async (t) => {
    await harness.restart({ pendingLimits: { ...pendingLimits, ...limits } });
    const names = ["a", "b", "c"];
    for (const name of names) harness.fileAt(name);
    for (const name of names) harness.fileAt(`${name}.lock`);
    const before = harness.picture();
    const refused = { ok: false, error: "EAGAIN", reason: "tooManyPending" };
    t.match(await harness.deliver("x", names, ["1", "2", "3"]), { ...refused, path: "c" });
    t.strictSame(harness.picture(), before);
    t.match(await harness.deliver("x", ["a", "b"], ["1", "2"]), { ok: true, pending: 2 });
    t.match(await harness.deliver("x", ["c"], ["3"]), { ...refused, path: "c" });
    await harness.restart();
    t.match(await harness.deliver("x", ["c"], ["3"]), { ...refused, path: "c" }, "after a start");
    harness.unlink("a.lock");
    t.match(await harness.deliver("x", ["c"], ["3"]), { ok: true, pending: 1 }, "room again");
  });
}

t.test("extents that pend are counted as they lie in units", async (t) => {
  const limits = { ...pendingLimits, extents: 4 };
  await harness.restart({ pendingLimits: limits });
  harness.fileAt("a");
  harness.fileAt("a.lock");
  const long = "x".repeat(3 * 262_144);
  t.match(await harness.deliver(`${long}x`, ["a"], ["y"]), { reason: "tooManyPending" });
  t.match(await harness.deliver(long, ["a"]), { pending: 1 });
  t.match(await harness.deliver("x", ["a"]), { pending: 1 });
  t.match(await harness.deliver("x", ["a"]), { reason: "tooManyPending" });
  harness.deliveries.check();
});

t.test("who gets a lock while the kernel is being told waits for that", async (t) => {
  const ino = harness.fileAt("a", "old");
  let told = (): void => undefined;
  harness.notice = new Promise((resolve) => {
    told = resolve;
  });
  const reply = harness.deliver("new", ["a"]);
  t.ok(harness.invalidations.settled(ino), "a notice is on its way");
  let answered = false;
  const answer = reply.then(() => {
    answered = true;
  });
  await harness.store.durable();
  await new Promise((resolve) => setImmediate(resolve));
  t.notOk(answered, "and the reply waits for it");
  told();
  await answer;
  t.equal(harness.invalidations.settled(ino), undefined);
});

t.test("very many names that wait are looked at in turns, and each gets its turn", async (t) => {
  const count = 5_000;
  const names = Array.from({ length: count }, (_, k) => `box${k}`);
  const to = names.map((path) => ({ path: `${path}.lock`, create: {} }));
  await harness.deliver("x", to);
  const made = names.map((path) => ({ path, create: {} }));
  t.match(await harness.deliver("new", made), { pending: count });
  harness.sec += DOTLOCK_SECONDS_MAX;
  const left: number[] = [];
  for (let k = 0; k < 3; k++) {
    harness.deliveries.tick();
    left.push(harness.store.statistics().pending);
  }
  t.ok(Number(left[0]) > 0, "not all at once");
  t.equal(left[2], 0);
  t.equal(harness.text(`box${count - 1}`), "new");
});

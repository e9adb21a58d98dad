import t from "tap";
import type { Caller } from "../fs/caller.ts";
import { readStatus } from "../fs/hints/credentials.ts";
import { ALICE, BOB, DELIVERER, Harness, MAIL_GROUP, ROOT_CALLER } from "./hints-harness.ts";

let harness: Harness;
t.beforeEach(async () => {
  harness = await Harness.open({ deliverAccount: { uid: DELIVERER.uid, directories: ["mail"] } });
});
t.afterEach(() => harness.close());

const CAROL: Caller = { uid: 1003, gid: 2003, pid: 13 };

/** Owner of every file here is Alice; Bob is in its group, Carol is a stranger. */
t.test("write permission follows the mode, class by class", async (t) => {
  const who = { root: ROOT_CALLER, alice: ALICE, bob: BOB, carol: CAROL };
  const matrix: readonly (readonly [mode: number, may: readonly (keyof typeof who)[]])[] = [
    [0o000, ["root"]],
    [0o400, ["root"]],
    [0o200, ["root", "alice"]],
    [0o600, ["root", "alice"]],
    [0o660, ["root", "alice", "bob"]],
    [0o060, ["root", "bob"]],
    [0o020, ["root", "bob"]],
    [0o606, ["root", "alice", "carol"]],
    [0o002, ["root", "carol"]],
    [0o666, ["root", "alice", "bob", "carol"]],
    [0o111, ["root"]],
  ];
  for (const [mode, may] of matrix) {
    const name = `file${mode.toString(8)}`;
    harness.fileAt(name, "", mode, { ...ALICE, gid: MAIL_GROUP });
    for (const [person, caller] of Object.entries(who)) {
      const before = harness.picture();
      const reply = await harness.deliver("x", [name], [], caller);
      const allowed = may.includes(person as keyof typeof who);
      const wanted = allowed ? { ok: true } : { error: "EACCES", reason: "noWrite", path: name };
      t.match(reply, wanted, `${person} on ${mode.toString(8)}`);
      if (!allowed) t.strictSame(harness.picture(), before);
    }
  }
});

t.test("every directory of the path must be searchable", async (t) => {
  harness.directoryAt("outer", 0o750, { ...ALICE, gid: MAIL_GROUP });
  harness.directoryAt("outer/inner", 0o711, ALICE);
  harness.fileAt("outer/inner/a", "", 0o666, ALICE);
  const path = "outer/inner/a";
  for (const caller of [ROOT_CALLER, ALICE, BOB]) {
    t.match(await harness.deliver("x", [path], [], caller), { ok: true });
  }
  t.match(await harness.deliver("x", [path], [], CAROL), {
    error: "EACCES",
    reason: "noSearch",
    path,
  });
  for (const other of ["outer/missing", "outer/missing/x", "outer/inner/../inner/a", "outer/."]) {
    t.match(await harness.deliver("x", [other], [], CAROL), { reason: "noSearch" }, other);
  }
  harness.linkAt("link", path);
  t.match(await harness.deliver("x", ["link"], [], CAROL), { reason: "noSearch", path: "link" });
});

t.test("making a mailbox needs write and search on its directory", async (t) => {
  const create = {};
  harness.directoryAt("d", 0o770, { ...ALICE, gid: MAIL_GROUP });
  harness.directoryAt("writeOnly", 0o722, ALICE);
  harness.directoryAt("searchOnly", 0o711, ALICE);
  const make = (path: string, caller: Caller) =>
    harness.deliver("x", [{ path, create }], [], caller);
  t.match(await make("d/1", ROOT_CALLER), { ok: true });
  t.match(await make("d/2", ALICE), { ok: true });
  t.match(await make("d/3", BOB), { ok: true });
  t.match(await make("d/4", CAROL), { reason: "noSearch" });
  t.match(await make("writeOnly/1", CAROL), { reason: "noSearch" });
  t.match(await make("searchOnly/1", CAROL), { error: "EACCES", reason: "noCreate" });
  t.match(harness.store.inode(harness.ino("d/3")), { uid: BOB.uid, gid: BOB.gid, mode: 0o100600 });
});

t.test("only root gives new mailboxes to others", async (t) => {
  harness.directoryAt("d", 0o777);
  let count = 0;
  const make = (create: object, caller: Caller) =>
    harness.deliver("x", [{ path: `d/${++count}`, create }], [], caller);
  const refused = { error: "EPERM", reason: "ownerNotAllowed" };
  t.match(await make({ uid: ALICE.uid, gid: ALICE.gid }, ROOT_CALLER), { ok: true });
  t.match(await make({ uid: ALICE.uid, gid: ALICE.gid }, ALICE), { ok: true });
  t.match(await make({ uid: ALICE.uid }, BOB), refused);
  t.match(await make({ uid: 0 }, BOB), refused);
  t.match(await make({ gid: MAIL_GROUP }, BOB), { ok: true });
  t.match(await make({ gid: MAIL_GROUP }, ALICE), refused);
  t.match(await make({ gid: 0 }, ALICE), refused);
});

t.test("in a set-gid directory a new mailbox has the directory's group", async (t) => {
  const ino = harness.directoryAt("d", 0o777, { ...ALICE, gid: MAIL_GROUP });
  harness.store.commit([{ type: "attributes", ino, mode: 0o042777 }]);
  t.match(await harness.deliver("x", [{ path: "d/a", create: {} }], [], CAROL), { ok: true });
  t.match(harness.store.inode(harness.ino("d/a")), { uid: CAROL.uid, gid: MAIL_GROUP });
});

t.test(
  "links are followed, to the last name too, and a new mailbox is made where they lead",
  async (t) => {
    harness.directoryAt("d");
    harness.directoryAt("d/e");
    harness.fileAt("d/a");
    harness.linkAt("one", "d/a");
    harness.linkAt("d/e/two", "../../one");
    harness.linkAt("dir", "d/e/");
    harness.linkAt("fresh", "dir/../new");
    t.match(await harness.deliver("x", ["dir/two"]), { ok: true });
    t.equal(harness.text("d/a"), "x");
    t.match(await harness.deliver("y", [{ path: "fresh", create: {} }]), { ok: true });
    t.equal(harness.text("d/new"), "y");
  },
);

t.test("forty links are followed and no more", async (t) => {
  harness.fileAt("l0");
  for (let k = 1; k <= 41; k++) harness.linkAt(`l${k}`, `l${k - 1}`);
  t.match(await harness.deliver("x", ["l40"]), { ok: true });
  t.match(await harness.deliver("x", ["l41"]), { error: "ELOOP", path: "l41" });
});

t.test("the walks of one request take only so many steps", async (t) => {
  harness.directoryAt("d");
  harness.fileAt("d/a");
  const around = "d/../".repeat(800);
  harness.linkAt("l0", `${around}d/a`);
  for (let k = 1; k < 40; k++) harness.linkAt(`l${k}`, `${around}l${k - 1}`);
  const before = harness.picture();
  const many = Array.from({ length: 5 }, (_, k) => ({ path: `${"./".repeat(k)}l39` }));
  const reply = await harness.deliver("x", many);
  t.match(reply, { error: "ELOOP", reason: "tooManySteps", path: many[3]?.path });
  t.strictSame(harness.picture(), before);
});

t.test("in a sticky directory for all, other users' links are not followed", async (t) => {
  const ino = harness.directoryAt("tmp", 0o777);
  harness.store.commit([{ type: "attributes", ino, mode: 0o041777 }]);
  harness.fileAt("a", "", 0o666);
  harness.linkAt("tmp/alices", "../a", ALICE);
  harness.linkAt("tmp/roots", "../a");
  t.match(await harness.deliver("x", ["tmp/alices"], [], ALICE), { ok: true });
  t.match(await harness.deliver("x", ["tmp/roots"], [], BOB), { ok: true });
  for (const caller of [ROOT_CALLER, BOB]) {
    t.match(await harness.deliver("x", ["tmp/alices"], [], caller), {
      error: "EACCES",
      reason: "linkNotFollowed",
    });
  }
});

t.test("the deliver account appends to and creates mailboxes under its directories", async (t) => {
  harness.directoryAt("mail", 0o755);
  harness.directoryAt("mail/sub", 0o700, ALICE);
  harness.fileAt("mail/alice", "", 0o600, ALICE);
  harness.fileAt("mail/sub/deep", "", 0o400, ALICE);
  const create = { mode: 0o640, uid: BOB.uid, gid: MAIL_GROUP };
  const to = ["mail/alice", "mail/sub/deep", { path: "mail/sub/bob", create }];
  t.match(await harness.deliver("x", to, [], DELIVERER), { ok: true, delivered: 3 });
  t.equal(harness.text("mail/sub/deep"), "x");
  t.match(harness.store.inode(harness.ino("mail/sub/bob")), {
    mode: 0o100640,
    uid: BOB.uid,
    gid: MAIL_GROUP,
  });
  t.match(await harness.deliver("x", ["mail/missing"], [], DELIVERER), { error: "ENOENT" });
  t.match(await harness.deliver("x", ["mail/sub/missing/x"], [], DELIVERER), { error: "ENOENT" });
});

t.test("the deliver account has no other right", async (t) => {
  harness.directoryAt("mail", 0o755);
  harness.fileAt("mail/alice", "0123", 0o600, ALICE);
  harness.fileAt("outside", "0123", 0o600, ALICE);
  harness.fileAt("open", "", 0o666, ALICE);
  harness.directoryAt("mailx", 0o755);
  harness.fileAt("mailx/a", "", 0o600, ALICE);
  harness.directoryAt("closed", 0o700);
  harness.linkAt("mail/out", "../outside", ALICE);
  harness.linkAt("mail/outdir", "../mailx", ALICE);
  harness.linkAt("in", "mail/alice", ALICE);
  const before = harness.picture();
  const deliver = (path: string | object) => harness.deliver("x", [path], [], DELIVERER);
  for (const path of ["outside", "mail/out", "mail/outdir/a", "mailx/a", "mail/../outside"]) {
    t.match(await deliver(path), { error: "EACCES", reason: "noWrite" }, path);
  }
  t.match(await deliver({ path: "new", create: {} }), { reason: "noCreate" });
  t.match(await deliver({ path: "mail/outdir/new", create: {} }), { reason: "noCreate" });
  t.match(await deliver("closed/x"), { reason: "noSearch" }, "not whether it exists");
  const range = { path: "mail/alice", offset: 0, length: 1 };
  const share = { op: "share", from: range, to: { path: "open" } };
  t.match(await harness.request(share, "", DELIVERER), { reason: "noRead" });
  const remove = { op: "remove", ...range };
  t.match(await harness.request(remove, "", DELIVERER), { reason: "noWrite" });
  t.strictSame(harness.picture(), before);
  t.match(await deliver("in"), { ok: true }, "a link may lead in");
  t.match(await deliver("open"), { ok: true }, "its ordinary rights it has");
});

t.test("without its directory the deliver account has its ordinary rights only", async (t) => {
  harness.fileAt("a", "", 0o600, ALICE);
  t.match(await harness.deliver("x", ["a"], [], DELIVERER), { reason: "noWrite" });
});

t.test("the groups of an opener are read from its status, if it is still the opener", async (t) => {
  const status = (uids: string) =>
    `Name:\tx\nTgid:\t700\nPid:\t701\nUid:\t${uids}\nGid:\t1\t1\t1\t1\nGroups:\t4 24 27 \n`;
  const caller = { uid: 1001, gid: 7, pid: 701 };
  t.strictSame(readStatus(status("1\t1\t1\t1001"), caller), {
    ...caller,
    processId: 700,
    groups: [4, 24, 27],
  });
  t.strictSame(readStatus(status("1001\t1001\t1001\t0"), caller).groups, []);
  t.strictSame(
    readStatus(status("1001\t1001\t1001\t1001").replace("4 24 27 ", ""), caller).groups,
    [],
  );
  t.strictSame(readStatus("", caller), { ...caller, processId: 701, groups: [] });
});

/** Deliveries with `copies`: the same bytes in every mailbox, and nothing linked. */
import t from "tap";
import { COPIES_BYTES_MAX, UNLINKED_BYTES_PER_USER_MAX } from "../fs/hints/limits.ts";
import { StoreError } from "../fs/store/errors.ts";
import { ALICE, delivery, DELIVERER, exchange, Harness, ROOT_CALLER } from "./hints-harness.ts";

let harness: Harness;
t.beforeEach(async () => {
  harness = await Harness.open({ deliverAccount: { uid: DELIVERER.uid, directories: ["."] } });
});
t.afterEach(() => harness.close());

const copies = (shared: string, to: readonly (string | object)[], own: readonly string[] = []) => {
  const [fields, body] = delivery(shared, to, own);
  return [{ ...fields, copies: true }, body] as const;
};

t.test("every mailbox gets bytes of its own, in units of its own", async (t) => {
  const paths = ["a", "b", "c"];
  for (const path of paths) harness.fileAt(path, "old ");
  const before = harness.store.statistics();
  const reply = await harness.request(...copies("shared\n", paths, ["1 ", "2 ", ""]));
  t.match(reply, { ok: true, delivered: 3, pending: 0 });
  t.strictSame(
    paths.map((path) => harness.text(path)),
    ["old 1 shared\n", "old 2 shared\n", "old shared\n"],
  );
  const after = harness.store.statistics();
  t.equal(after.sharedBytes, 0);
  t.equal(after.storedBytes - before.storedBytes, 3 * 7 + 4);
  t.equal(harness.hints.held.unlinkedBytes, 0);
});

t.test(
  "a mailbox that is missing is made, and one that is locked gets its copy later",
  async (t) => {
    const ino = harness.fileAt("a");
    harness.lock(harness.fileAt("b"), "write");
    const to = ["a", "b", { path: "c", create: { mode: 0o640, uid: ALICE.uid, gid: ALICE.gid } }];
    const reply = await harness.request(...copies("shared", to, ["1 ", "2 ", "3 "]));
    t.match(reply, { ok: true, delivered: 3, pending: 1 });
    t.equal(harness.text("c"), "3 shared");
    t.match(harness.store.inode(harness.ino("c")), { mode: 0o100640, uid: ALICE.uid });
    t.equal(harness.text("b"), "");
    harness.lock(harness.ino("b"), "unlock");
    t.equal(harness.text("b"), "2 shared");
    t.equal(harness.store.statistics().sharedBytes, 0);
    t.equal(harness.text("a"), "1 shared");
    t.ok(harness.store.inode(ino));
  },
);

t.test("pieces that were written before are copied, longer than a unit of the store", async (t) => {
  const long = Array.from({ length: 100_000 }, (_, k) => `line ${k}\n`).join("");
  const session = harness.session();
  const written = await exchange(session, { op: "write" }, long);
  const [unit] = written["units"] as string[];
  const shared = [{ bytes: 5 }, { unit }, { bytes: 4 }];
  const create = { mode: 0o600 };
  const to = ["a", "b", "c"].map((path) => ({ path, create, privateBytes: 1 }));
  const reply = await exchange(
    session,
    { op: "deliver", copies: true, shared, to },
    "head:tailABC",
  );
  t.match(reply, { ok: true, delivered: 3 });
  session.close();
  for (const path of ["a", "b", "c"]) {
    t.ok(harness.text(path) === `${path.toUpperCase()}head:${long}tail`, path);
  }
  const { sharedBytes, storedBytes, deadBytes } = harness.store.statistics();
  t.strictSame([sharedBytes, storedBytes, deadBytes], [0, 3 * (long.length + 10), 0]);
});

t.test("what was delivered as copies is there after a restart", async (t) => {
  const create = { mode: 0o600 };
  const to = ["a", "b"].map((path) => ({ path, create }));
  t.match(await harness.request(...copies("shared", to, ["1 ", "2 "])), { ok: true });
  await harness.restart();
  t.equal(harness.text("a") + harness.text("b"), "1 shared2 shared");
  t.equal(harness.store.statistics().sharedBytes, 0);
});

t.test("a refused delivery leaves no copy behind", async (t) => {
  harness.fileAt("a");
  const before = harness.picture();
  const reply = await harness.request(...copies("shared", ["a", "missing"]));
  t.match(reply, { ok: false, reason: "notFound", path: "missing" });
  t.strictSame(harness.picture(), before);
});

t.test("a store that is full while copies are written changes nothing", async (t) => {
  for (const path of ["a", "b", "c"]) harness.fileAt(path);
  const before = harness.picture();
  const { store } = harness;
  const { writeUnit } = store;
  let calls = 0;
  store.writeUnit = (...args: Parameters<typeof writeUnit>) => {
    if (++calls === 2) throw new StoreError("STORE_FULL", "full");
    return writeUnit.apply(store, args);
  };
  const reply = await harness.request(...copies("shared", ["a", "b", "c"]));
  store.writeUnit = writeUnit;
  t.match(reply, { ok: false, error: "ENOSPC", reason: "storeFull" });
  t.strictSame(harness.picture(), before);
  t.match(await harness.request(...copies("shared", ["a", "b", "c"])), { ok: true });
});

t.test("`copies` is true or false, and to one mailbox it makes none", async (t) => {
  harness.fileAt("a");
  const [fields, body] = delivery("x", ["a"]);
  t.match(await harness.request({ ...fields, copies: 1 }, body), { reason: "badField" });
  t.match(await harness.request({ ...fields, copies: false }, body), { ok: true });
  t.match(await harness.request({ ...fields, copies: true }, body), { ok: true });
  t.equal(harness.text("a"), "xx");
});

t.test("copies beyond the limit of a request are refused", async (t) => {
  const bytes = 15 * 1024 * 1024;
  const count = Math.floor(COPIES_BYTES_MAX / bytes) + 2;
  const create = { mode: 0o600 };
  const to = Array.from({ length: count }, (_, k) => ({ path: `box${k}`, create }));
  const fields = { op: "deliver", copies: true, shared: [{ bytes }], to };
  const reply = await harness.request(fields, Buffer.alloc(bytes));
  t.match(reply, { ok: false, error: "EMSGSIZE", reason: "copiesTooLong" });
});

t.test(
  "copies that are being made count as unlinked bytes, the deliver account's more kindly",
  async (t) => {
    const bytes = 14 * 1024 * 1024;
    const count = Math.floor(UNLINKED_BYTES_PER_USER_MAX / bytes) + 2;
    const to = Array.from({ length: count }, (_, k) => ({ path: `box${k}` }));
    for (const { path } of to) harness.fileAt(path, "", 0o666);
    const fields = { op: "deliver", copies: true, shared: [{ bytes }], to };
    const body = Buffer.alloc(bytes, "x");
    t.match(await harness.request(fields, body, ALICE), { reason: "unlinkedOfUser" });
    t.match(await harness.request(fields, body, DELIVERER), { ok: true });
    t.equal(harness.store.statistics().sharedBytes, 0);
  },
);

t.test("the deliver account may hold more unlinked bytes than others", async (t) => {
  const body = Buffer.alloc(16 * 1024 * 1024);
  const hold = async (caller: typeof ALICE) => {
    const sessions = [];
    let held = 0;
    for (; held < 64; held++) {
      if (held % 4 === 0) sessions.push(harness.session(caller));
      const reply = await exchange(sessions.at(-1)!, { op: "write" }, body, caller);
      if (reply["ok"] !== true) break;
    }
    for (const session of sessions) session.close();
    return held * body.length;
  };
  t.equal(await hold(ALICE), 128 * 1024 * 1024);
  t.equal(await hold(DELIVERER), 768 * 1024 * 1024);
});

t.test(
  "the age of what waits for a lock is told to root and the deliver account, also after a restart",
  async (t) => {
    const ino = harness.fileAt("a");
    const dotlock = harness.fileAt("b.lock");
    harness.fileAt("b");
    const ask = (caller: typeof ALICE) => harness.request({ op: "statistics" }, "", caller);
    t.match(await ask(ROOT_CALLER), { pending: 0, oldestPendingSeconds: 0 });
    await harness.deliver("1", ["b"]);
    harness.sec += 100;
    harness.lock(ino, "write");
    await harness.deliver("2", ["a", "b"]);
    harness.sec += 20;
    const wanted = { pending: 3, pendingNames: 2, oldestPendingSeconds: 120 };
    t.match(await ask(ROOT_CALLER), wanted);
    t.strictSame(Object.keys(await ask(DELIVERER)), [
      "ok",
      "logicalBytes",
      "files",
      "pending",
      "pendingNames",
      "oldestPendingSeconds",
    ]);
    t.match(await ask(DELIVERER), wanted);
    t.strictSame(Object.keys(await ask(ALICE)), ["ok", "logicalBytes", "files"]);
    await harness.restart();
    t.match(await ask(DELIVERER), { pending: 2, oldestPendingSeconds: 120 }, "the lock is gone");
    harness.unlink("b.lock");
    t.match(await ask(DELIVERER), { pending: 0, oldestPendingSeconds: 0 });
    t.ok(dotlock);
  },
);

t.test(
  "the deliver account learns the size of a mailbox that it may deliver to, and of no other",
  async (t) => {
    await harness.restart({ deliverAccount: { uid: DELIVERER.uid, directories: ["mail"] } });
    harness.directoryAt("mail", 0o700);
    harness.directoryAt("home", 0o700);
    harness.fileAt("mail/a", "12345");
    harness.fileAt("home/b", "12345");
    harness.linkAt("mail/out", "../home/b");
    const ask = (path: string, caller = DELIVERER) =>
      harness.request({ op: "statistics", path }, "", caller);
    t.strictSame(await ask("mail/a"), { ok: true, logicalBytes: 5 });
    t.match(await ask("mail/c"), { reason: "notFound" });
    t.match(await ask("home/b"), { reason: "noSearch" });
    t.match(await ask("mail/out"), { reason: "noSearch" });
    t.match(await ask("mail/a", ALICE), { reason: "noSearch" });
  },
);

t.test("units of a session that goes on writing do not expire", async (t) => {
  const session = harness.session();
  const write = async () => (await exchange(session, { op: "write" }, "unit"))["units"] as string[];
  const [first] = await write();
  harness.sec += 599;
  harness.hints.tick();
  await write();
  harness.sec += 599;
  harness.hints.tick();
  harness.fileAt("a");
  const fields = { op: "deliver", shared: [{ unit: first }], to: [{ path: "a" }] };
  t.match(await exchange(session, fields), { ok: true });
  session.close();
});

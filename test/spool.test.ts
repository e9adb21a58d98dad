/** The parts of the spool work together: what one of them does, the others hear of. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { ENOTEMPTY } from "../base/errno.ts";
import type { LockRequest } from "../fs/locks/table.ts";
import { Spool } from "../fs/spool.ts";
import { checkStore } from "../fs/store/check.ts";
import { ok, RDWR, ROOT } from "./files-harness.ts";

/** This process, for the file system reads the opener's groups from /proc. */
const ME = { uid: process.getuid!(), gid: process.getgid!(), pid: process.pid };
const CONTROL_INO = 2;

class SpoolInTest {
  readonly directory = mkdtempSync(join(tmpdir(), "onespool-spool-"));
  spool!: Spool;

  static async open(test: Test): Promise<SpoolInTest> {
    const opened = new SpoolInTest();
    await opened.start();
    test.teardown(() => opened.end());
    return opened;
  }

  async start(): Promise<void> {
    this.spool = await Spool.open(this.directory, { create: true });
  }

  async end(): Promise<void> {
    await this.spool.close();
    const { problems } = await checkStore(this.directory);
    rmSync(this.directory, { recursive: true, force: true });
    if (problems.length > 0) throw new Error(problems.join("; "));
  }

  make(name: string): number {
    return ok(this.spool.operations.makeNode(ROOT, name, 0o100600, 0, ME)).ino;
  }

  async write(ino: number, text: string): Promise<void> {
    const { size } = ok(this.spool.operations.getAttributes(ino));
    const data = Buffer.from(text);
    const request = { ino, handle: 0, offset: size, data, flags: RDWR };
    ok(await this.spool.operations.write(request, ME));
  }

  async text(name: string): Promise<string> {
    const ino = this.spool.store.lookup(ROOT, name);
    const result = this.spool.operations.read(ino, 0, 0, 1 << 20, ME);
    if (result instanceof Promise) throw new Error("the read waits");
    const read = ok(result);
    return Buffer.concat(read).toString();
  }

  /** Delivers through the control file, as a program would. */
  async deliver(text: string, ...names: string[]): Promise<Record<string, unknown>> {
    const { operations } = this.spool;
    const { handle } = ok(operations.open(CONTROL_INO, RDWR, ME));
    const request = {
      op: "deliver",
      bodyBytes: text.length,
      shared: [{ bytes: text.length }],
      to: names.map((path) => ({ path, create: { mode: 0o600 } })),
    };
    const data = Buffer.from(`${JSON.stringify(request)}\n${text}`);
    const sent = { ino: CONTROL_INO, handle, offset: 0, data, flags: RDWR };
    ok(await operations.write(sent, ME));
    const reply = ok(await operations.read(CONTROL_INO, handle, 0, 65_536, ME));
    operations.release(CONTROL_INO, handle);
    return JSON.parse(Buffer.concat(reply).toString()) as Record<string, unknown>;
  }
}

function lock(handle: number, type: LockRequest["type"]): LockRequest {
  const range = { start: 0, end: Number.MAX_SAFE_INTEGER };
  return { owner: BigInt(handle), handle, flavor: "flock", type, pid: 1, ...range };
}

t.test("a delivery is in every mailbox, stored once, also in the next run", async (t) => {
  const s = await SpoolInTest.open(t);
  const ino = s.make("a");
  await s.write(ino, "before;");
  t.match(await s.deliver("mail;", "a", "b", "c"), { ok: true });
  t.same(await Promise.all(["a", "b", "c"].map((n) => s.text(n))), [
    "before;mail;",
    "mail;",
    "mail;",
  ]);
  t.equal(s.spool.store.statistics().storedBytes, "before;mail;".length);
  await s.spool.close();
  await s.start();
  t.equal(await s.text("b"), "mail;");
});

t.test("a delivery under a lock shows when the lock goes, however it goes", async (t) => {
  const s = await SpoolInTest.open(t);
  const { operations } = s.spool;
  const ino = s.make("a");
  let want = "";
  for (const way of ["unlock", "release", "flush"]) {
    const request = { ...lock(7, "write"), flavor: way === "flush" ? "posix" : "flock" } as const;
    t.equal(await operations.setLock(ino, request), 0);
    t.match(await s.deliver(`${way};`, "a"), { ok: true });
    t.equal(await s.text("a"), want, `${way}: not under the lock`);
    want += `${way};`;
    if (way === "unlock") t.equal(await operations.setLock(ino, lock(7, "unlock")), 0);
    if (way === "release") operations.release(ino, 7);
    if (way === "flush") t.equal(operations.flush(ino, 7, 7n), 0);
    t.equal(await s.text("a"), want, way);
  }
  t.equal(s.spool.store.statistics().pending, 0);
});

t.test("a delivery under a dotlock shows when the dotlock is removed or renamed", async (t) => {
  const s = await SpoolInTest.open(t);
  const { operations } = s.spool;
  s.make("a");
  s.make("a.lock");
  t.match(await s.deliver("one;", "a"), { ok: true });
  t.equal(await s.text("a"), "");
  t.equal(operations.unlink(ROOT, "a.lock", ME), 0);
  t.equal(await s.text("a"), "one;");
  s.make("a.lock");
  t.match(await s.deliver("two;", "a"), { ok: true });
  t.equal(operations.rename(ROOT, "a.lock", ROOT, "elsewhere", 0, ME), 0);
  t.equal(await s.text("a"), "one;two;");
});

t.test("a pending delivery shows in the file that has the name then", async (t) => {
  const s = await SpoolInTest.open(t);
  const { operations } = s.spool;
  const ino = s.make("a");
  t.equal(await operations.setLock(ino, lock(7, "write")), 0);
  t.match(await s.deliver("mail;", "a"), { ok: true });
  await s.write(s.make("a.new"), "rewritten;");
  t.equal(operations.rename(ROOT, "a.new", ROOT, "a", 0, ME), 0);
  t.equal(await s.text("a"), "rewritten;mail;");

  t.equal(await operations.setLock(s.spool.store.lookup(ROOT, "a"), lock(8, "write")), 0);
  t.match(await s.deliver("again;", "a"), { ok: true });
  t.equal(operations.unlink(ROOT, "a", ME), 0);
  t.equal(await s.text("a"), "again;", "and in a new mailbox when it was removed");
});

t.test("a pending delivery survives the end of the process that took it", async (t) => {
  const s = await SpoolInTest.open(t);
  t.equal(await s.spool.operations.setLock(s.make("a"), lock(7, "write")), 0);
  t.match(await s.deliver("mail;", "a"), { ok: true });
  t.equal(s.spool.store.statistics().pending, 1);
  await s.spool.close();
  await s.start();
  t.equal(await s.text("a"), "mail;", "whose locks are gone");
});

t.test(
  "the binding hears of deliveries, and a lock waits until it has told its kernel",
  async (t) => {
    const s = await SpoolInTest.open(t);
    const ino = s.make("a");
    await s.write(ino, "12345");
    const told: string[] = [];
    let finish = (): void => undefined;
    s.spool.setInvalidator({
      invalidate: (at, offset) => {
        told.push(`${at}@${offset}`);
        return new Promise((resolve) => {
          finish = resolve;
        });
      },
    });
    const { operations } = s.spool;
    t.equal(await operations.setLock(ino, lock(7, "write")), 0);
    t.match(await s.deliver("mail;", "a"), { ok: true });
    t.same(told, []);
    operations.release(ino, 7);
    t.same(told, [`${ino}@5`]);
    const waiting = operations.setLock(ino, lock(8, "write"));
    t.type(waiting, Promise);
    finish();
    t.equal(await waiting, 0);
    s.spool.setInvalidator(undefined);
  },
);

t.test("what a closed session has asked for is done before the store is closed", async (t) => {
  const s = await SpoolInTest.open(t);
  const { operations } = s.spool;
  s.make("a");
  const { handle } = ok(operations.open(CONTROL_INO, RDWR, ME));
  const bytes = 2_000_000;
  const fields = { op: "deliver", bodyBytes: bytes, shared: [{ bytes }], to: [{ path: "a" }] };
  const data = Buffer.from(`${JSON.stringify(fields)}\n${"m".repeat(bytes)}`.repeat(8));
  ok(await operations.write({ ino: CONTROL_INO, handle, offset: 0, data, flags: RDWR }, ME));
  operations.release(CONTROL_INO, handle);
  await s.spool.close();
  await s.start();
  t.equal(s.spool.store.statistics().logicalBytes, 8 * bytes);
});

t.test("mail for a removed mailbox keeps its directory from being removed", async (t) => {
  const s = await SpoolInTest.open(t);
  const { operations, store } = s.spool;
  const directory = ok(operations.makeDirectory(ROOT, "d", 0o755, ME)).ino;
  const ino = ok(operations.makeNode(directory, "a", 0o100600, 0, ME)).ino;
  t.equal(await operations.setLock(ino, lock(7, "write")), 0);
  t.match(await s.deliver("mail;", "d/a"), { ok: true });
  t.equal(store.statistics().pending, 1);
  t.equal(operations.unlink(directory, "a", ME), 0);
  t.equal(operations.removeDirectory(ROOT, "d", ME), ENOTEMPTY, "there is a new mailbox");
});

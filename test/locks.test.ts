import assert from "node:assert/strict";
import * as fc from "fast-check";
import { test } from "tap";
import { EAGAIN, EDEADLK, EINTR, EINVAL, ENOLCK } from "../base/errno.ts";
import { END_OF_FILE } from "../fs/locks/ranges.ts";
import { LockTable, type LockRequest, type LockTableOptions } from "../fs/locks/table.ts";
import { LAST, ModelLocks, type ModelResult } from "./model/locks.ts";

const never = new AbortController().signal;

function tableWith(options: Partial<LockTableOptions> = {}): {
  table: LockTable;
  unlocked: number[];
} {
  const unlocked: number[] = [];
  const onUnlocked = (ino: number): void => void unlocked.push(ino);
  return { table: new LockTable({ onUnlocked, ...options }), unlocked };
}

/** A byte-range lock of a process. */
function range(
  owner: number,
  type: LockRequest["type"],
  start = 0,
  end = END_OF_FILE,
): LockRequest {
  const pid = 1000 + owner;
  return { owner: BigInt(owner), handle: owner, flavor: "posix", type, start, end, pid };
}

function whole(owner: number, type: LockRequest["type"]): LockRequest {
  return { ...range(owner, type), flavor: "flock" };
}

/** What a promise came to, or "waits", once all that is due has run. */
async function stateOf(result: 0 | number | Promise<number>): Promise<number | "waits"> {
  const later = new Promise<"waits">((resolve) => void setImmediate(resolve, "waits"));
  return Promise.race([Promise.resolve(result), later]);
}

await test("readers share a range and a writer excludes everybody else", async (t) => {
  const { table } = tableWith();
  t.equal(table.setLock(7, range(1, "read", 0, 9)), 0);
  t.equal(table.setLock(7, range(2, "read", 5, 14)), 0);
  t.equal(table.setLock(7, range(3, "write", 9, 9)), EAGAIN);
  t.equal(table.setLock(7, range(3, "write", 15, 20)), 0);
  t.equal(table.setLock(7, range(1, "read", 20, 20)), EAGAIN);
  t.equal(table.setLock(8, range(3, "write", 0, 20)), 0, "another inode");
  table.check();
});

await test("unlocking the middle of a lock splits it and locking it again joins it", async (t) => {
  const { table } = tableWith();
  table.setLock(7, range(1, "write", 0, 99));
  table.setLock(7, range(1, "unlock", 40, 59));
  t.equal(table.size, 2);
  t.match(table.getLock(7, range(2, "write")), { start: 0, end: 39 });
  t.match(table.getLock(7, range(2, "write", 45)), { start: 60, end: 99 });
  t.equal(table.getLock(7, range(2, "write", 40, 59)), undefined);
  table.setLock(7, range(1, "write", 40, 59));
  t.equal(table.size, 1);
  t.match(table.getLock(7, range(2, "write", 50)), { start: 0, end: 99 });
});

await test("an upgrade fails while another reads and a downgrade lets readers in", async (t) => {
  const { table } = tableWith();
  table.setLock(7, range(1, "read"));
  table.setLock(7, range(2, "read"));
  t.equal(table.setLock(7, range(1, "write")), EAGAIN);
  t.equal(table.getLock(7, range(3, "write"))?.type, "read", "the read lock is kept");
  table.releaseOwner(7, 2n);
  t.equal(table.setLock(7, range(1, "write")), 0);
  const reader = table.setLockWait(7, range(2, "read", 5, 5), never);
  t.equal(await stateOf(reader), "waits");
  table.setLock(7, range(1, "read", 5, 5));
  t.equal(await stateOf(reader), 0);
  table.check();
});

await test("getLock names the process that holds the lock", async (t) => {
  const { table } = tableWith();
  table.setLock(7, range(1, "write", 10, 19));
  t.same(table.getLock(7, range(2, "read")), { type: "write", start: 10, end: 19, pid: 1001 });
  t.equal(table.getLock(7, range(1, "write")), undefined, "nobody is in its own way");
  t.equal(table.getLock(7, whole(2, "write")), undefined);
});

await test("any end beyond 2^53 - 1 is the end of the file", async (t) => {
  const { table } = tableWith();
  t.equal(table.setLock(7, range(1, "write", 5, 2 ** 63)), 0);
  t.match(table.getLock(7, range(2, "read", 2 ** 50)), { start: 5, end: END_OF_FILE });
  t.equal(table.setLock(7, range(1, "unlock", 5, END_OF_FILE)), 0);
  t.equal(table.size, 0);
  t.equal(table.setLock(7, range(1, "write", 5, 4)), EINVAL);
  t.equal(table.setLock(7, range(1, "write", -1, 4)), EINVAL);
});

await test("flock and byte-range locks ignore each other and both count", async (t) => {
  const { table, unlocked } = tableWith();
  t.equal(table.setLock(7, whole(1, "write")), 0);
  t.equal(table.setLock(7, range(2, "write")), 0);
  t.equal(table.setLock(7, whole(3, "read")), EAGAIN);
  table.setLock(7, whole(1, "unlock"));
  t.equal(table.hasLocks(7), true);
  t.same(unlocked, []);
  table.setLock(7, range(2, "unlock"));
  t.equal(table.hasLocks(7), false);
  t.same(unlocked, [7]);
});

await test("two flock readers that both convert do not block each other for ever", async (t) => {
  const { table } = tableWith();
  table.setLock(7, whole(1, "read"));
  table.setLock(7, whole(2, "read"));
  const first = table.setLockWait(7, whole(1, "write"), never);
  t.equal(await stateOf(first), "waits");
  const second = table.setLockWait(7, whole(2, "write"), never);
  t.equal(await stateOf(second), "waits");
  t.equal(await stateOf(first), 0, "the second lost its read lock while it asked for more");
  table.check();
});

await test("a flock conversion that fails at once has lost the lock", async (t) => {
  const { table } = tableWith();
  table.setLock(7, whole(1, "read"));
  table.setLock(7, whole(2, "read"));
  t.equal(table.setLock(7, whole(1, "write")), EAGAIN);
  t.equal(table.setLock(7, whole(2, "write")), 0);
});

await test("closing a file drops the owner's byte-range locks and nothing else", async (t) => {
  const { table } = tableWith();
  table.setLock(7, range(1, "write", 0, 9));
  table.setLock(7, range(2, "write", 10, 19));
  table.setLock(7, whole(1, "write"));
  table.setLock(8, range(1, "write"));
  table.releaseOwner(7, 1n);
  t.equal(table.getLock(7, range(3, "write", 0, 9)), undefined);
  t.match(table.getLock(7, range(3, "write")), { start: 10 });
  t.equal(table.setLock(7, whole(3, "read")), EAGAIN);
  t.equal(table.hasLocks(8), true);
  table.check();
});

await test("the last close drops the flock and the OFD locks of that open file only", async (t) => {
  const { table, unlocked } = tableWith();
  table.setLock(7, { ...range(100, "write", 0, 9), handle: 1 });
  table.setLock(7, { ...range(200, "write", 10, 19), handle: 2 });
  table.setLock(7, { ...whole(100, "write"), handle: 1 });
  table.releaseHandle(7, 1);
  t.equal(table.size, 1);
  t.match(table.getLock(7, range(3, "write")), { start: 10, end: 19 });
  t.same(unlocked, []);
  table.releaseHandle(7, 2);
  t.equal(table.size, 0);
  t.same(unlocked, [7]);
});

await test("waiters are served in the order in which they came", async (t) => {
  const { table } = tableWith();
  table.setLock(7, range(1, "write"));
  const order: number[] = [];
  for (const owner of [5, 3, 4]) {
    const wait = table.setLockWait(7, range(owner, "write"), never);
    void Promise.resolve(wait).then(() => order.push(owner));
  }
  for (const owner of [1, 5, 3]) {
    table.releaseOwner(7, BigInt(owner));
    table.check();
    await stateOf(0);
  }
  t.same(order, [5, 3, 4]);
});

await test("one unlock serves every waiter that it makes room for", async (t) => {
  const { table, unlocked } = tableWith();
  table.setLock(7, range(1, "write"));
  const waits = [
    table.setLockWait(7, range(2, "read"), never),
    table.setLockWait(7, range(3, "write", 5, 5), never),
    table.setLockWait(7, range(4, "read"), never),
  ];
  table.setLock(7, range(1, "unlock"));
  t.same(await Promise.all(waits.map(stateOf)), [0, "waits", 0]);
  table.releaseOwner(7, 2n);
  table.releaseOwner(7, 4n);
  t.equal(await stateOf(waits[1]!), 0);
  t.same(unlocked, [], "never without a lock");
  table.check();
});

await test("a waiter whose own write lock becomes a read lock lets an earlier one in", async (t) => {
  const { table, unlocked } = tableWith();
  table.setLock(7, range(1, "write", 10, 19));
  table.setLock(7, range(2, "write", 0, 9));
  const earlier = table.setLockWait(7, range(3, "read", 5, 5), never);
  const later = table.setLockWait(7, range(2, "read", 0, 19), never);
  table.releaseOwner(7, 1n);
  t.same([await stateOf(earlier), await stateOf(later)], [0, 0]);
  t.same(unlocked, []);
  table.check();
});

await test("an unlock that lets a waiting writer in is not told", async (t) => {
  const { table, unlocked } = tableWith();
  table.setLock(7, range(1, "write"));
  const next = table.setLockWait(7, range(2, "write"), never);
  table.releaseHandle(7, 1);
  t.equal(await stateOf(next), 0);
  t.same(unlocked, []);
  table.releaseHandle(7, 2);
  t.same(unlocked, [7]);
});

await test("a downgrade is not told, the end of the last read lock is", async (t) => {
  const seen: unknown[] = [];
  const table = new LockTable({
    onUnlocked: (ino) => {
      table.check();
      seen.push([ino, table.hasLocks(ino), table.size]);
    },
  });
  table.setLock(7, range(1, "write"));
  void table.setLockWait(7, range(2, "read"), never);
  table.setLock(7, range(1, "read"));
  table.releaseOwner(7, 1n);
  t.same(seen, []);
  table.releaseOwner(7, 2n);
  t.same(seen, [[7, false, 0]]);
});

await test("a signal ends a wait with EINTR and leaves the other waits alone", async (t) => {
  const { table } = tableWith();
  table.setLock(7, range(1, "write"));
  const cancel = new AbortController();
  const cancelled = table.setLockWait(7, range(2, "write"), cancel.signal);
  const other = table.setLockWait(7, range(3, "write"), never);
  cancel.abort();
  t.equal(await stateOf(cancelled), EINTR);
  t.equal(await stateOf(other), "waits");
  t.equal(table.setLockWait(7, range(4, "write"), cancel.signal), EINTR, "before it began");
  table.releaseOwner(7, 1n);
  t.equal(await stateOf(other), 0);
  cancel.abort();
  table.check();
});

await test("a signal that comes after the lock was given changes nothing", async (t) => {
  const { table } = tableWith();
  table.setLock(7, range(1, "write"));
  const cancel = new AbortController();
  const wait = table.setLockWait(7, range(2, "write"), cancel.signal);
  table.releaseOwner(7, 1n);
  cancel.abort();
  t.equal(await stateOf(wait), 0);
  t.equal(table.hasLocks(7), true);
});

await test("a wait ends with EINTR when its owner or its open file is closed", async (t) => {
  const { table } = tableWith();
  table.setLock(7, range(1, "write"));
  table.setLock(7, whole(1, "write"));
  const posix = table.setLockWait(7, range(2, "write"), never);
  const flock = table.setLockWait(7, whole(3, "write"), never);
  table.releaseOwner(7, 3n);
  t.equal(await stateOf(flock), "waits", "flock does not care for close");
  table.releaseOwner(7, 2n);
  t.equal(await stateOf(posix), EINTR);
  table.releaseHandle(7, 3);
  t.equal(await stateOf(flock), EINTR);
  t.equal(table.size, 2);
  table.check();
});

await test("a table that is drained locks no inode that is free", async (t) => {
  const { table, unlocked } = tableWith();
  table.setLock(7, range(1, "write", 0, 9));
  table.setLock(8, whole(1, "read"));
  const waiting = table.setLockWait(7, range(2, "write"), never);
  table.drain();
  t.ok(table.isHeldForWriting);
  t.equal(table.setLock(7, range(1, "write", 20, 29)), 0, "who has one may have another");
  t.equal(table.setLock(7, range(3, "write", 40, 49)), 0, "as long as the inode is locked");
  t.equal(table.setLock(9, range(1, "read")), EAGAIN);
  t.equal(table.setLock(9, range(1, "unlock")), 0);
  t.equal(table.setLock(8, whole(1, "write")), 0, "nor does a conversion end it");
  t.equal(table.setLock(8, whole(1, "unlock")), 0);
  const controller = new AbortController();
  const late = table.setLockWait(9, whole(4, "write"), controller.signal);
  table.releaseOwner(7, 3n);
  t.equal(table.setLock(7, range(1, "unlock")), 0);
  t.same(unlocked, [8, 7], "what pends shows");
  t.notOk(table.isHeldForWriting);
  t.same([await stateOf(waiting), await stateOf(late)], ["waits", "waits"]);
  table.check();
  controller.abort();
  table.releaseOwner(7, 2n);
  t.same([await stateOf(waiting), await stateOf(late)], [EINTR, EINTR]);
  t.equal(table.size, 0);
  table.check();
});

await test("a wait that closes a circle of owners is refused with EDEADLK", async (t) => {
  const { table } = tableWith();
  for (const owner of [1, 2, 3]) table.setLock(owner, range(owner, "write"));
  const first = table.setLockWait(2, range(1, "write"), never);
  const second = table.setLockWait(3, range(2, "read"), never);
  t.equal(table.setLockWait(1, range(3, "write"), never), EDEADLK);
  t.same([await stateOf(first), await stateOf(second)], ["waits", "waits"]);
  t.equal(table.setLock(1, range(3, "write")), EAGAIN, "asking without waiting is no deadlock");
  table.releaseOwner(3, 3n);
  t.equal(await stateOf(second), 0);
  t.equal(await stateOf(first), "waits");
  table.check();
});

await test("two readers of one range that both want to write it are a deadlock", async (t) => {
  const { table } = tableWith();
  table.setLock(7, range(1, "read"));
  table.setLock(7, range(2, "read"));
  const first = table.setLockWait(7, range(1, "write"), never);
  t.equal(table.setLockWait(7, range(2, "write"), never), EDEADLK);
  table.releaseOwner(7, 2n);
  t.equal(await stateOf(first), 0);
});

await test("flock waits are no part of a deadlock", async (t) => {
  const { table } = tableWith();
  table.setLock(1, whole(1, "write"));
  table.setLock(2, whole(2, "write"));
  t.equal(await stateOf(table.setLockWait(2, whole(1, "write"), never)), "waits");
  t.equal(await stateOf(table.setLockWait(1, whole(2, "write"), never)), "waits");
});

await test("locks and waiters beyond a limit are refused with ENOLCK", async (t) => {
  const { table } = tableWith({ locksPerInodeMax: 3, locksMax: 4 });
  t.equal(table.setLock(7, range(1, "write", 0, 99)), 0);
  t.equal(table.setLock(7, range(1, "write", 200, 200)), 0);
  const wait = table.setLockWait(7, range(2, "read"), never);
  t.equal(await stateOf(wait), "waits");
  t.equal(table.setLockWait(7, range(3, "read"), never), ENOLCK, "no room to wait");
  t.equal(table.setLock(7, range(1, "unlock", 50, 50)), ENOLCK, "no room to split");
  t.equal(table.getLock(7, range(3, "read", 50, 50))?.end, 99, "a refusal changes nothing");
  t.equal(table.setLock(8, range(1, "write", 0, 0)), 0);
  t.equal(table.setLock(9, range(1, "write", 0, 0)), ENOLCK, "the limit in all");
  t.equal(table.hasLocks(9), false);
  table.check();
  table.releaseOwner(7, 1n);
  t.equal(await stateOf(wait), 0);
  t.equal(table.setLock(9, range(1, "write", 0, 0)), 0);
  table.check();
});

interface Event {
  readonly kind: "set" | "wait" | "get" | "cancel" | "releaseOwner" | "releaseHandle";
  readonly ino: number;
  readonly request: LockRequest;
  readonly pick: number;
}

const events: fc.Arbitrary<Event> = fc
  .record({
    kind: fc.constantFrom(
      "set",
      "set",
      "wait",
      "wait",
      "get",
      "cancel",
      "releaseOwner",
      "releaseHandle",
    ),
    ino: fc.constantFrom(16, 17),
    // Owners 1 to 3 are processes with two open files each, 4 and 5 open files with their own locks.
    owner: fc.integer({ min: 1, max: 5 }),
    second: fc.boolean(),
    flavor: fc.constantFrom("posix", "posix", "flock"),
    type: fc.constantFrom("read", "write", "unlock"),
    from: fc.integer({ min: 0, max: LAST }),
    to: fc.integer({ min: 0, max: LAST }),
    pick: fc.nat(),
  })
  .map(({ kind, ino, owner, second, flavor, type, from, to, pick }) => {
    const handle = owner > 3 ? owner * 10 : owner * 10 + Number(second);
    const end = Math.max(from, to) === LAST ? END_OF_FILE : Math.max(from, to);
    const start = Math.min(from, to);
    const lockOwner = flavor === "flock" ? BigInt(handle) : BigInt(owner);
    const pid = 1000 + owner;
    const request = { owner: lockOwner, handle, flavor, type, start, end, pid } as const;
    return { kind, ino, request, pick };
  });

function named(result: number): ModelResult {
  if (result === 0) return "ok";
  if (result === EAGAIN) return "again";
  if (result === EDEADLK) return "deadlock";
  if (result === EINTR) return "interrupted";
  throw new Error(`not an answer of the model: ${result}`);
}

/** Runs the events on the table and on the model and compares all that can be seen after each. */
async function compare(list: readonly Event[]): Promise<void> {
  const { table, unlocked } = tableWith();
  const model = new ModelLocks();
  const answers: { id: number; result: ModelResult }[] = [];
  const cancels = new Map<number, AbortController>();
  for (const [id, { kind, ino, request, pick }] of list.entries()) {
    unlocked.length = 0;
    answers.length = 0;
    model.answers = [];
    model.unlocked = [];
    if (kind === "set") {
      assert.equal(named(table.setLock(ino, request)), model.set(ino, request));
    } else if (kind === "wait") {
      const cancel = new AbortController();
      cancels.set(id, cancel);
      const result = table.setLockWait(ino, request, cancel.signal);
      const waits = typeof result !== "number";
      if (waits) void result.then((value) => answers.push({ id, result: named(value) }));
      assert.equal(waits ? "waits" : named(result), model.wait(id, ino, request));
    } else if (kind === "get" && request.type !== "unlock") {
      const got = table.getLock(ino, request);
      const conflicts = model.conflicts(ino, request).sort((a, b) => a.start - b.start);
      assert.equal(got === undefined, conflicts.length === 0);
      if (got !== undefined) {
        const seen = { type: got.type, start: got.start, end: Math.min(got.end, LAST) };
        assert.equal(seen.start, conflicts[0]!.start);
        assert.ok(conflicts.some((c) => c.type === seen.type && c.end === seen.end));
      }
    } else if (kind === "cancel" && model.waits.length > 0) {
      const { id: which } = model.waits[pick % model.waits.length]!;
      cancels.get(which)!.abort();
      model.cancel(which);
    } else if (kind === "releaseOwner") {
      table.releaseOwner(ino, request.owner);
      model.releaseOwner(ino, request.owner);
    } else if (kind === "releaseHandle") {
      table.releaseHandle(ino, request.handle);
      model.releaseHandle(ino, request.handle);
    }
    await stateOf(0);
    table.check();
    assert.deepEqual(answers, model.answers);
    assert.deepEqual(unlocked, model.unlocked);
    for (const each of [16, 17]) {
      assert.equal(table.hasLocks(each), model.hasLocks(each));
    }
  }
  for (const ino of [16, 17]) {
    for (let owner = 1; owner <= 5; owner++) {
      table.releaseOwner(ino, BigInt(owner));
      for (const handle of [owner * 10, owner * 10 + 1]) table.releaseHandle(ino, handle);
    }
  }
  assert.equal(table.size, 0, "nothing is kept of locks that are gone");
  table.check();
}

await test("the table does what a naive array of bytes does", async (t) => {
  const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));
  t.comment(`repeat with: SEED=${seed} node dist/test/locks.test.js`);
  await fc.assert(
    fc.asyncProperty(fc.array(events, { maxLength: 60, size: "max" }), async (list) => {
      await compare(list);
    }),
    { seed, numRuns: 400 },
  );
});

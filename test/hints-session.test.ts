import assert from "node:assert/strict";
import t from "tap";
import { EBUSY, EINVAL, ENOMEM, ENOTTY, EOPNOTSUPP, EPERM, EPROTO } from "../base/errno.ts";
import {
  encodeIoctl,
  HINT_COMMAND,
  IOCTL_BYTES_MAX,
  IOCTL_STRUCT_LENGTH,
} from "../fs/hints/ioctl.ts";
import {
  BODY_BYTES_MAX,
  REQUESTS_WAITING_MAX,
  UNLINKED_BYTES_PER_UNIT_MIN,
} from "../fs/hints/limits.ts";
import type { HintSession } from "../fs/hints/session.ts";
import type { IoctlReply } from "../fs/operations.ts";
import {
  ALICE,
  BOB,
  delivery,
  encode,
  exchange,
  Harness,
  readReply,
  ROOT_CALLER,
} from "./hints-harness.ts";

let harness: Harness;
let session: HintSession;
t.beforeEach(async () => {
  harness = await Harness.open();
  session = harness.session();
});
t.afterEach(async () => {
  session.close();
  assert.deepEqual(harness.hints.held, { requestBytes: 0, unlinkedBytes: 0 });
  await harness.close();
});

const statistics = encode({ op: "statistics" });

t.test("a read without a request gives no bytes", (t) => {
  t.strictSame(session.read(100, ROOT_CALLER), Buffer.alloc(0));
  session.write(statistics.subarray(0, 5), ROOT_CALLER);
  t.strictSame(session.read(100, ROOT_CALLER), Buffer.alloc(0), "nor with a part of one");
  t.end();
});

t.test(
  "a reply can be read in pieces of any size, and a read gives bytes of one reply only",
  async (t) => {
    for (const lengthMax of [1, 7, 1024, 65_536]) {
      session.write(Buffer.concat([statistics, statistics]), ROOT_CALLER);
      t.match(await readReply(session, ROOT_CALLER, lengthMax), { ok: true, files: 0 });
      t.match(await readReply(session, ROOT_CALLER, lengthMax), { ok: true, files: 0 });
      t.strictSame(session.read(100, ROOT_CALLER), Buffer.alloc(0));
    }
  },
);

t.test("replies come in the order of the requests", async (t) => {
  harness.fileAt("a");
  session.write(encode(...delivery("1", ["a"])), ROOT_CALLER);
  session.write(encode({ op: "nonsense" }), ROOT_CALLER);
  session.write(encode(...delivery("2", ["a"])), ROOT_CALLER);
  t.match(await readReply(session), { delivered: 1 });
  t.match(await readReply(session), { error: "EOPNOTSUPP" });
  t.match(await readReply(session), { delivered: 1 });
  t.equal(harness.text("a"), "12");
});

t.test("a request that comes byte by byte is carried out when it is complete", async (t) => {
  harness.fileAt("a");
  const bytes = encode(...delivery("shared", ["a"], ["own "]));
  for (let at = 0; at < bytes.length; at++) {
    t.equal(harness.text("a"), "");
    t.equal(session.write(bytes.subarray(at, at + 1), ROOT_CALLER), 1);
  }
  t.match(await readReply(session), { delivered: 1 });
  t.equal(harness.text("a"), "own shared");
});

t.test("the caller's buffer may be used again as soon as write returns", async (t) => {
  harness.fileAt("a");
  const bytes = encode(...delivery("shared", ["a"]));
  session.write(statistics, ROOT_CALLER);
  session.write(bytes, ROOT_CALLER);
  bytes.fill(0);
  await readReply(session);
  t.match(await readReply(session), { delivered: 1 });
  t.equal(harness.text("a"), "shared");
});

t.test("only so many requests wait for their replies to be read", async (t) => {
  const many = Buffer.concat(Array<Buffer>(REQUESTS_WAITING_MAX + 3).fill(statistics));
  const taken = session.write(many, ROOT_CALLER);
  t.equal(taken, REQUESTS_WAITING_MAX * statistics.length);
  t.equal(session.write(many.subarray(taken), ROOT_CALLER), EBUSY);
  t.match(await readReply(session), { ok: true });
  t.equal(session.write(many.subarray(taken), ROOT_CALLER), statistics.length);
  for (let k = 0; k < REQUESTS_WAITING_MAX; k++) await readReply(session);
  t.strictSame(session.read(1, ROOT_CALLER), Buffer.alloc(0));
});

t.test("after a line that is no request the session answers EPROTO for ever", async (t) => {
  const garbage = Buffer.from("garbage\nmore");
  t.equal(session.write(garbage, ROOT_CALLER), garbage.length);
  t.match(await readReply(session), { ok: false, error: "EPROTO", reason: "notJson" });
  t.equal(session.write(statistics, ROOT_CALLER), EPROTO);
  t.equal(session.read(100, ROOT_CALLER), EPROTO);
  t.match(await harness.request({ op: "statistics" }), { ok: true }, "others are not touched");
});

t.test("after a refusal the session goes on", async (t) => {
  t.match(await exchange(session, { op: "deliver" }, "abc"), { ok: false, error: "EINVAL" });
  t.match(await exchange(session, { op: "statistics" }), { ok: true });
});

t.test(
  "a body that is too long is refused at once, skipped, and the session goes on",
  async (t) => {
    session.write(Buffer.from(`{"op":"write","bodyBytes":${BODY_BYTES_MAX + 1}}\n`), ROOT_CALLER);
    t.match(await readReply(session), { error: "EMSGSIZE", reason: "bodyTooLong" });
    const piece = Buffer.alloc(1024 * 1024);
    for (let left = BODY_BYTES_MAX + 1; left > 0; left -= piece.length) {
      const length = Math.min(left, piece.length);
      t.equal(session.write(piece.subarray(0, length), ROOT_CALLER), length);
    }
    t.match(await exchange(session, { op: "statistics" }), { ok: true });
  },
);

t.test("another user gets nothing through a session that was handed over", async (t) => {
  const alices = harness.session(ALICE);
  t.equal(alices.write(statistics, BOB), EPERM);
  t.equal(alices.write(statistics, ROOT_CALLER), EPERM);
  alices.write(statistics, ALICE);
  t.equal(await alices.read(100, BOB), EPERM);
  t.equal(await alices.ioctl(HINT_COMMAND, Buffer.alloc(20), 99_999, BOB), EPERM);
  t.match(await readReply(alices), { ok: true });
  alices.close();
});

t.test("what was written is carried out even if nobody reads the reply", async (t) => {
  harness.fileAt("a");
  const one = harness.session();
  one.write(encode(...delivery("1", ["a"])), ROOT_CALLER);
  one.write(encode(...delivery("2", ["a"])), ROOT_CALLER);
  one.close();
  while (harness.hints.sessionCount > 1) await new Promise((resolve) => setImmediate(resolve));
  t.equal(harness.text("a"), "12");
});

t.test("a read that waits ends when the session is closed", async (t) => {
  const one = harness.session();
  one.write(statistics, ROOT_CALLER);
  const reply = one.read(100, ROOT_CALLER);
  one.close();
  t.strictSame(await reply, Buffer.alloc(0));
  await new Promise((resolve) => setImmediate(resolve));
});

t.test("users can have only so many bytes of requests under way", async (t) => {
  const sessions: HintSession[] = [];
  const head = Buffer.from(`{"op":"write","bodyBytes":${BODY_BYTES_MAX}}\n`);
  const part = Buffer.alloc(BODY_BYTES_MAX - 1);
  let result = 0;
  while (sessions.length < 20 && result !== ENOMEM) {
    const one = harness.session(ALICE);
    sessions.push(one);
    one.write(head, ALICE);
    result = one.write(part, ALICE);
  }
  t.equal(result, ENOMEM);
  t.equal(sessions.length, 8, "128 MiB");
  t.match(await harness.request({ op: "statistics" }, "", BOB), { ok: true }, "others can go on");
  for (const one of sessions) one.close();
});

/** What a program's ioctl gives: the struct filled with the request. */
function ioctlOf(request: Buffer): Buffer {
  return Buffer.from(encodeIoctl(request).data);
}

async function replyOf(reply: ReturnType<HintSession["ioctl"]>): Promise<Record<string, unknown>> {
  const { result, data } = (await reply) as IoctlReply;
  if (result !== 0 || data.readUInt32LE(0) !== 1) throw new Error("not a reply");
  const text = data.toString("utf8", 8, 8 + data.readUInt32LE(4));
  if (!text.endsWith("\n")) throw new Error("not a line");
  return JSON.parse(text) as Record<string, unknown>;
}

const OUT = IOCTL_STRUCT_LENGTH;

t.test("an ioctl carries a request and its reply", async (t) => {
  harness.fileAt("a");
  const input = ioctlOf(encode(...delivery("shared", ["a"], ["own "])));
  t.match(await replyOf(session.ioctl(HINT_COMMAND, input, OUT, ROOT_CALLER)), { delivered: 1 });
  t.equal(harness.text("a"), "own shared");
  const write = ioctlOf(encode({ op: "write" }, "unit"));
  const { units } = await replyOf(session.ioctl(HINT_COMMAND, write, OUT, ROOT_CALLER));
  t.match(
    await exchange(session, { op: "forget", units }),
    { ok: true },
    "it is the same session as that of write and read",
  );
});

t.test("an ioctl that is not one is refused", async (t) => {
  const input = ioctlOf(statistics);
  const ioctl = (command: number, bytes: Buffer, out = OUT) =>
    session.ioctl(command, bytes, out, ROOT_CALLER);
  t.equal(await ioctl(0x5401, input), ENOTTY);
  t.equal(await ioctl(HINT_COMMAND, input.subarray(0, 100)), EINVAL);
  t.equal(await ioctl(HINT_COMMAND, input, 100), EINVAL);
  const later = Buffer.from(input);
  later.writeUInt32LE(2, 0);
  t.equal(await ioctl(HINT_COMMAND, later), EOPNOTSUPP);
  const long = Buffer.from(input);
  long.writeUInt32LE(IOCTL_BYTES_MAX + 1, 4);
  t.equal(await ioctl(HINT_COMMAND, long), EINVAL);
  for (const text of ["", "garbage\n", '{"op":"write","bodyBytes":9}\nshort']) {
    t.match(await replyOf(ioctl(HINT_COMMAND, ioctlOf(Buffer.from(text)))), { ok: false });
  }
});

t.test("an ioctl whose reply could not fit is refused before it does anything", async (t) => {
  const lengths = Array<number>(2_000).fill(1);
  const input = ioctlOf(encode({ op: "write", lengths }, "x".repeat(2_000)));
  t.match(await replyOf(session.ioctl(HINT_COMMAND, input, OUT, ROOT_CALLER)), {
    error: "EMSGSIZE",
    reason: "replyTooLong",
  });
  t.equal(harness.hints.held.unlinkedBytes, 0);
});

t.test("a refusal with a path that makes it too long for an ioctl comes without it", async (t) => {
  const path = "\u0001".repeat(2_600);
  const input = ioctlOf(encode({ op: "statistics", path }));
  const reply = await replyOf(session.ioctl(HINT_COMMAND, input, OUT, ROOT_CALLER));
  t.match(reply, { ok: false, error: "ENAMETOOLONG" });
});

t.test("a version that is not known is refused", async (t) => {
  t.match(await exchange(session, { op: "statistics", version: 1 }), { ok: true });
  t.match(await exchange(session, { op: "statistics", version: 2 }), { reason: "unknownVersion" });
  t.match(await exchange(session, { op: "statistics", version: "1" }), { ok: false });
});

t.test("units expire unless they are linked, and a closed session's are dropped", async (t) => {
  harness.fileAt("a");
  const first = await exchange(session, { op: "write", lengths: [2, 3] }, "uuvvv");
  const [u, v] = first["units"] as string[];
  t.match(await exchange(session, { op: "deliver", shared: [{ unit: u }], to: [{ path: "a" }] }), {
    ok: true,
  });
  harness.sec += 599;
  harness.hints.tick();
  t.equal(harness.hints.held.unlinkedBytes, UNLINKED_BYTES_PER_UNIT_MIN);
  harness.sec += 1;
  harness.hints.tick();
  t.equal(harness.hints.held.unlinkedBytes, 0);
  t.equal(harness.store.statistics().units, 1);
  const again = (unit: unknown) =>
    exchange(session, { op: "deliver", shared: [{ unit }], to: [{ path: "a" }] });
  t.match(await again(u), { ok: true }, "what is linked stays good");
  t.match(await again(v), { error: "ENOENT", reason: "unknownUnit" });
  await exchange(session, { op: "write" }, "more");
  t.equal(harness.store.statistics().units, 2);
  session.close();
  t.equal(harness.store.statistics().units, 1);
  session = harness.session();
});

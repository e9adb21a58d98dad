/** Hints that a program sends by ioctl(2), and the death of the process that carries them out. */
import t from "tap";
import { ioctlOut } from "../fs/kernel/abi.ts";
import { HINT_COMMAND, IOCTL_STRUCT_LENGTH } from "../fs/hints/ioctl.ts";
import { tick, u32, u64 } from "./kernel-requests.ts";
import { create, livesOf, type Life } from "./takeover-life.ts";

const again = 2n ** 63n;

interface Open {
  readonly ino: number;
  readonly handle: number;
}

function ioctlBody({ handle }: Open, line: object, body = ""): Buffer[] {
  const request = Buffer.from(`${JSON.stringify({ ...line, bodyBytes: body.length })}\n${body}`);
  const struct = Buffer.alloc(IOCTL_STRUCT_LENGTH);
  struct.writeUInt32LE(1, 0);
  struct.writeUInt32LE(request.length, 4);
  request.copy(struct, 8);
  const head = [u64(handle), u32(0), u32(HINT_COMMAND), u64(0)];
  return [...head, u32(struct.length), u32(struct.length), struct];
}

let unique = 10_000n;

async function hint(
  life: Life,
  file: Open,
  line: object,
  body = "",
  request = (unique += 2n),
): Promise<unknown> {
  const answer = await life.askSoon("IOCTL", file.ino, ioctlBody(file, line, body), request);
  t.equal(answer.error, 0);
  const struct = answer.body.subarray(ioctlOut.sizeof);
  return JSON.parse(struct.toString("utf8", 8, 8 + struct.readUInt32LE(4)));
}

function owned(life: Life, name: string, content = ""): Open {
  const file = create(life, name, content);
  life.spool.store.commit([{ type: "attributes", ino: file.ino, uid: 1001 }]);
  return file;
}

/** Its reply gets lost. */
async function dieOf(life: Life, file: Open, line: object, body: string): Promise<bigint> {
  const request = (unique += 2n);
  await life.loseReplyTo("IOCTL", file.ino, ioctlBody(file, line, body), request);
  life.spool.store.observer = undefined;
  return request + again;
}

const text = (life: Life, { ino }: Open): string => life.spool.store.read(ino, 0, 100).toString();

t.test("units that were written by ioctl keep their tokens", async (t) => {
  const { first, next } = await livesOf(t);
  const file = owned(first, "a");
  t.same(await hint(first, file, { op: "write" }, "first"), { ok: true, units: ["1"] });
  t.same(await hint(first, file, { op: "write" }, "second"), { ok: true, units: ["2"] });
  t.same(await hint(first, file, { op: "forget", units: ["2"] }), { ok: true, forgotten: 1 });

  const second = await next();
  t.same(await hint(second, file, { op: "write" }, "third"), { ok: true, units: ["3"] });
  const deliver = (unit: string) => ({ op: "deliver", shared: [{ unit }], to: [{ path: "a" }] });
  t.match(await hint(second, file, deliver("2")), { ok: false, reason: "unknownUnit" });
  t.match(await hint(second, file, deliver("1")), { ok: true, delivered: 1 });
  t.equal(text(second, file), "first");
});

t.test("a write or a forget by ioctl whose reply was lost is not done twice", async (t) => {
  const { first, next } = await livesOf(t);
  const file = owned(first, "a");
  const writing = { op: "write", lengths: [2, 3] };
  const lost = await dieOf(first, file, writing, "abcde");
  const second = await next();
  t.same(await hint(second, file, writing, "abcde", lost), { ok: true, units: ["1", "2"] });
  const forgetting = { op: "forget", units: ["1"] };
  const lostToo = await dieOf(second, file, forgetting, "");
  const third = await next();
  t.same(await hint(third, file, forgetting, "", lostToo), { ok: true, forgotten: 1 });
  t.same(await hint(third, file, { op: "write" }, "x"), { ok: true, units: ["3"] });
});

t.test("the kernel hears of what an ioctl has changed before its answer", async (t) => {
  const { first, next } = await livesOf(t);
  const file = owned(first, "a", "one ");
  const deliver = { op: "deliver", shared: [{ bytes: 3 }], to: [{ path: "a" }] };
  const lost = await dieOf(first, file, deliver, "two");
  let hear = (): void => undefined;
  const second = await next(new Promise((resolve) => (hear = resolve)));
  t.ok(second.told.includes(file.ino));
  let isAnswered = false;
  const answer = hint(second, file, deliver, "two", lost).finally(() => (isAnswered = true));
  for (let turn = 0; turn < 100; turn++) await tick();
  t.notOk(isAnswered);
  hear();
  t.same(await answer, { ok: true, delivered: 1, pending: 0 });
  t.equal(text(second, file), "one two");
});

import t from "tap";
import {
  TOKENS_PER_SESSION_MAX,
  UNITS_NAMED_MAX,
  UNLINKED_BYTES_PER_SESSION_MAX,
  UNLINKED_BYTES_PER_UNIT_MIN,
  UNLINKED_BYTES_PER_USER_MAX,
  UNLINKED_SECONDS_MAX,
} from "../fs/hints/limits.ts";
import type { HintSession } from "../fs/hints/session.ts";
import { ALICE, BOB, exchange, Harness } from "./hints-harness.ts";

let harness: Harness;
let session: HintSession;
t.beforeEach(async () => {
  harness = await Harness.open();
  session = harness.session();
});
t.afterEach(async () => {
  session.close();
  await harness.close();
});

async function write(bytes: string | Buffer, lengths?: number[]): Promise<string[]> {
  const reply = await exchange(session, { op: "write", lengths }, bytes);
  if (reply["ok"] !== true) throw new Error(JSON.stringify(reply));
  return reply["units"] as string[];
}

const to = [{ path: "a" }];

t.test("units that were written are linked in the order in which they are named", async (t) => {
  harness.fileAt("a", "", 0o600);
  const [x, y] = await write("xxxyyyy", [3, 4]);
  const shared = [
    { unit: y, offset: 1, length: 2 },
    { bytes: 2 },
    { unit: x },
    { unit: y, offset: 3 },
  ];
  t.match(await exchange(session, { op: "deliver", shared, to }, "--"), { ok: true });
  t.equal(harness.text("a"), "yy--xxxy");
});

t.test("one unit serves many deliveries and is stored once", async (t) => {
  for (const name of ["a", "b", "c"]) harness.fileAt(name);
  const before = harness.store.statistics().storedBytes;
  const [unit] = await write("m".repeat(10_000));
  for (const path of ["a", "b", "c"]) {
    await exchange(session, { op: "deliver", shared: [{ unit }], to: [{ path }] });
  }
  t.equal(harness.text("c"), "m".repeat(10_000));
  t.equal(harness.store.statistics().storedBytes - before, 10_000);
  t.equal(harness.store.statistics().sharedBytes, 10_000);
  t.equal(harness.hints.held.unlinkedBytes, 0);
});

t.test("what is longer than one unit of the store has one token all the same", async (t) => {
  harness.fileAt("a");
  const long = Buffer.alloc(700_000);
  for (let at = 0; at < long.length; at++) long[at] = 97 + ((at * 31 + (at >> 9)) % 26);
  const units = await write(long);
  t.equal(units.length, 1);
  const shared = [{ unit: units[0], offset: 262_100, length: 300_000 }];
  t.match(await exchange(session, { op: "deliver", shared, to }), { ok: true });
  t.equal(harness.text("a"), long.toString("utf8", 262_100, 562_100));
});

t.test("a token means nothing to another session", async (t) => {
  harness.fileAt("a", "", 0o666);
  const [unit] = await write("secret");
  const before = harness.picture();
  for (const caller of [ALICE, session.opener]) {
    const reply = await harness.request({ op: "deliver", shared: [{ unit }], to }, "", caller);
    t.match(reply, { error: "ENOENT", reason: "unknownUnit" });
  }
  t.strictSame(harness.picture(), before);
});

t.test("tokens do not tell what others write", async (t) => {
  const other = harness.session(BOB);
  const [first] = await write("1");
  for (let k = 0; k < 10; k++) await exchange(other, { op: "write" }, "other");
  const [second] = await write("2");
  t.strictSame([first, second], ["1", "2"]);
  other.close();
});

t.test("a range outside a unit is refused", async (t) => {
  harness.fileAt("a");
  const [unit] = await write("12345");
  for (const range of [{ offset: 5 }, { offset: 6 }, { offset: 1, length: 5 }, { length: 6 }]) {
    const reply = await exchange(session, { op: "deliver", shared: [{ unit, ...range }], to });
    t.match(reply, { error: "EINVAL", reason: "unitRange" }, JSON.stringify(range));
  }
  t.equal(harness.text("a"), "");
});

t.test("a unit that nothing refers to any more is gone", async (t) => {
  harness.fileAt("a");
  const [unit] = await write("12345");
  await exchange(session, { op: "deliver", shared: [{ unit }], to });
  await harness.request({ op: "remove", path: "a", offset: 0, length: 5 });
  t.match(await exchange(session, { op: "deliver", shared: [{ unit }], to }), {
    error: "ESTALE",
    reason: "unitGone",
  });
});

t.test("forgotten units are gone, and their space is given back", async (t) => {
  const units = await write("aabb", [2, 2]);
  t.match(await exchange(session, { op: "forget", units: [units[0], "zz"] }), {
    error: "ENOENT",
    reason: "unknownUnit",
  });
  t.equal(harness.hints.held.unlinkedBytes, 2 * UNLINKED_BYTES_PER_UNIT_MIN, "all or none");
  t.match(await exchange(session, { op: "forget", units }), { ok: true, forgotten: 2 });
  t.strictSame(harness.hints.held.unlinkedBytes, 0);
  t.equal(harness.store.statistics().units, 0);
});

t.test("forgetting a unit that files have leaves the files alone", async (t) => {
  harness.fileAt("a");
  const [unit] = await write("12345");
  await exchange(session, { op: "deliver", shared: [{ unit, length: 2 }], to });
  await exchange(session, { op: "forget", units: [unit] });
  t.equal(harness.text("a"), "12");
});

t.test("naming one byte of a unit gives back what lies with it, and no more", async (t) => {
  harness.fileAt("a");
  const piece = 262_144;
  const [unit] = await write(Buffer.alloc(3 * piece + 1, "m"));
  const all = 3 * piece + UNLINKED_BYTES_PER_UNIT_MIN;
  t.equal(harness.hints.held.unlinkedBytes, all);
  const byte = [{ unit, offset: piece, length: 1 }];
  const deliver = (shared: object[]) => exchange(session, { op: "deliver", shared, to });
  t.match(await deliver(byte), { ok: true });
  t.equal(harness.hints.held.unlinkedBytes, all - piece);
  t.match(await deliver(byte), { ok: true });
  t.equal(harness.hints.held.unlinkedBytes, all - piece, "once only");
  harness.sec += UNLINKED_SECONDS_MAX;
  harness.hints.tick();
  t.equal(harness.hints.held.unlinkedBytes, 0);
  t.equal(harness.store.statistics().units, 1);
  t.match(await deliver(byte), { ok: true }, "what is linked stays good");
  t.match(await deliver([{ unit }]), { error: "ESTALE", reason: "unitGone" });
  t.equal(harness.text("a"), "mmm");
});

t.test("a session holds only so many units and unlinked bytes", async (t) => {
  const lengths = Array<number>(TOKENS_PER_SESSION_MAX).fill(1);
  await write("x".repeat(TOKENS_PER_SESSION_MAX), lengths);
  t.match(await exchange(session, { op: "write" }, "x"), {
    error: "EDQUOT",
    reason: "tooManyTokens",
  });
  session.close();

  session = harness.session(ALICE);
  const piece = Buffer.alloc(16 * 1024 * 1024);
  const sessions = [session];
  const fill = async (): Promise<unknown> => {
    for (;;) {
      const reply = await exchange(session, { op: "write" }, piece);
      if (reply["ok"] !== true) return reply["reason"];
    }
  };
  t.equal(await fill(), "unlinkedOfSession");
  t.equal(harness.hints.held.unlinkedBytes, UNLINKED_BYTES_PER_SESSION_MAX);
  for (let k = 1; k < UNLINKED_BYTES_PER_USER_MAX / UNLINKED_BYTES_PER_SESSION_MAX; k++) {
    sessions.push((session = harness.session(ALICE)));
    t.equal(await fill(), "unlinkedOfSession");
  }
  sessions.push((session = harness.session(ALICE)));
  t.equal(await fill(), "unlinkedOfUser");
  t.match(await harness.request({ op: "write" }, "x", BOB), { ok: true }, "others can go on");
  for (const one of sessions) one.close();
  t.equal(harness.hints.held.unlinkedBytes, 0);
});

const malformed: readonly (readonly [object, string, string])[] = [
  [{}, "", "badField"],
  [{ lengths: [] }, "", "badField"],
  [{ lengths: [0] }, "", "badField"],
  [{ lengths: ["1"] }, "x", "badField"],
  [{ lengths: [2] }, "x", "bodyMismatch"],
  [{ lengths: 1 }, "x", "badField"],
  [{ length: [1] }, "x", "unknownField"],
  [{ lengths: Array<number>(UNITS_NAMED_MAX + 1).fill(1) }, "x", "tooManyUnits"],
];
for (const [fields, body, reason] of malformed) {
  const text = JSON.stringify(fields).slice(0, 40);
  t.test(`write ${text} with ${body.length} bytes is refused: ${reason}`, async (t) => {
    const before = harness.picture();
    t.match(await exchange(session, { op: "write", ...fields }, body), { ok: false, reason });
    t.strictSame(harness.picture(), before);
  });
}

for (const [fields, reason] of [
  [{}, "badField"],
  [{ units: "1" }, "badField"],
  [{ units: [1] }, "badField"],
  [{ units: [], more: 1 }, "unknownField"],
  [{ units: Array<string>(UNITS_NAMED_MAX + 1).fill("1") }, "tooManyUnits"],
] as const) {
  t.test(`forget ${JSON.stringify(fields).slice(0, 40)} is refused: ${reason}`, async (t) => {
    t.match(await exchange(session, { op: "forget", ...fields }), { ok: false, reason });
  });
}

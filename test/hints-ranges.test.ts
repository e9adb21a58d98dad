import t from "tap";
import { ALICE, BOB, Harness, MAIL_GROUP, ROOT_CALLER } from "./hints-harness.ts";

let harness: Harness;
t.beforeEach(async () => {
  harness = await Harness.open();
});
t.afterEach(() => harness.close());

t.test("a shared range is appended without a byte being stored", async (t) => {
  const a = harness.fileAt("a", "0123456789");
  harness.fileAt("b", "b");
  const before = harness.store.statistics().storedBytes;
  harness.sec += 7;
  harness.invalidated.length = 0;
  const reply = await harness.request({
    op: "share",
    from: { path: "a", offset: 2, length: 5 },
    to: { path: "b" },
  });
  t.match(reply, { ok: true, offset: 1, length: 5 });
  t.equal(harness.text("b"), "b23456");
  t.equal(harness.store.statistics().storedBytes, before);
  t.equal(harness.store.statistics().sharedBytes, 5);
  t.equal(harness.store.inode(harness.ino("b"))?.mtimeSec, harness.sec);
  t.strictSame(harness.invalidated, [`${harness.ino("b")}@1`]);
  t.equal(harness.store.inode(a)?.mtimeSec, harness.sec - 7);
});

t.test("several ranges are appended in one change, in their order, or none of them", async (t) => {
  harness.fileAt("a", "0123456789");
  harness.fileAt("b", "abcdefghij");
  harness.fileAt("c", "c");
  const before = harness.store.statistics().storedBytes;
  const from = [
    { path: "a", offset: 2, length: 3 },
    { path: "b", offset: 0, length: 2 },
    { path: "a", offset: 5, length: 1 },
    { path: "c", offset: 0, length: 1 },
  ];
  t.match(await harness.request({ op: "share", from, to: { path: "c" } }), {
    ok: true,
    offset: 1,
    length: 7,
  });
  t.equal(harness.text("c"), "c234ab5c");
  t.equal(harness.store.statistics().storedBytes, before);
  const outside = [...from, { path: "b", offset: 9, length: 2 }];
  t.match(await harness.request({ op: "share", from: outside, to: { path: "c" } }), {
    reason: "rangeOutside",
    path: "b",
  });
  const none: object[] = [];
  t.match(await harness.request({ op: "share", from: none, to: { path: "c" } }), {
    reason: "badField",
  });
  const many = Array.from({ length: 4_097 }, () => from[0]!);
  t.match(await harness.request({ op: "share", from: many, to: { path: "c" } }), {
    reason: "tooManyUnits",
  });
  const halves = Array.from({ length: 2 }, () => ({ path: "d", offset: 0, length: 200 << 20 }));
  const d = harness.fileAt("d");
  const hole = [{ unit: 0, offset: 0, length: 200 << 20 }];
  harness.store.commit([{ type: "splice", ino: d, offset: 0, remove: 0, extents: hole }]);
  t.match(await harness.request({ op: "share", from: halves, to: { path: "c" } }), {
    reason: "shareTooLong",
  });
  t.equal(harness.text("c"), "c234ab5c");
});

t.test("a range can be shared within one file, holes and many extents included", async (t) => {
  const a = harness.fileAt("a");
  let text = "";
  for (let k = 0; k < 300; k++) {
    harness.append(a, `${k} `);
    text += `${k} `;
  }
  const hole = [{ unit: 0, offset: 0, length: 200_000 }];
  harness.store.commit([{ type: "splice", ino: a, offset: 3, remove: 0, extents: hole }]);
  text = text.slice(0, 3) + "\0".repeat(200_000) + text.slice(3);
  const from = { path: "a", offset: 1, length: text.length - 2 };
  t.match(await harness.request({ op: "share", from, to: { path: "a" } }), { ok: true });
  t.ok(harness.text("a") === text + text.slice(1, -1), "the bytes are right");
});

t.test("a removed range is gone and what is behind it moves down", async (t) => {
  const a = harness.fileAt("a", "0123456789");
  harness.invalidated.length = 0;
  const reply = await harness.request({ op: "remove", path: "a", offset: 3, length: 4 });
  t.match(reply, { ok: true, size: 6 });
  t.equal(harness.text("a"), "012789");
  t.strictSame(harness.invalidated, [`${a}@3`]);
});

t.test("both take away set-id bits, as a write does", async (t) => {
  const a = harness.fileAt("a", "0123456789", 0o6755);
  await harness.request({ op: "remove", path: "a", offset: 0, length: 1 });
  t.equal(harness.store.inode(a)?.mode, 0o100755);
});

t.test("ranges outside a file are refused and nothing changes", async (t) => {
  harness.fileAt("a", "0123456789");
  harness.fileAt("b");
  const before = harness.picture();
  for (const [offset, length] of [
    [0, 11],
    [10, 1],
    [11, 1],
  ] as const) {
    const share = { op: "share", from: { path: "a", offset, length }, to: { path: "b" } };
    const remove = { op: "remove", path: "a", offset, length };
    for (const request of [share, remove]) {
      t.match(await harness.request(request), {
        error: "EINVAL",
        reason: "rangeOutside",
        path: "a",
      });
    }
  }
  t.strictSame(harness.picture(), before);
});

t.test("malformed ranges are refused", async (t) => {
  harness.fileAt("a", "0123456789");
  const before = harness.picture();
  const range = { path: "a", offset: 0, length: 1 };
  const requests: readonly (readonly [object, string])[] = [
    [{ op: "remove", offset: 0, length: 1 }, "badField"],
    [{ op: "remove", path: "a", length: 1 }, "badField"],
    [{ op: "remove", path: "a", offset: 0 }, "badField"],
    [{ op: "remove", path: "a", offset: -1, length: 1 }, "badField"],
    [{ op: "remove", path: "a", offset: 0.5, length: 1 }, "badField"],
    [{ op: "remove", path: "a", offset: 0, length: 0 }, "badField"],
    [{ op: "remove", path: "a", offset: 2 ** 53 - 1, length: 1 }, "badField"],
    [{ op: "remove", ...range, extra: 1 }, "unknownField"],
    [{ op: "share", from: range }, "badField"],
    [{ op: "share", to: { path: "a" } }, "badField"],
    [{ op: "share", from: range, to: { path: "a", offset: 0 } }, "unknownField"],
    [{ op: "share", from: { ...range, x: 1 }, to: { path: "a" } }, "unknownField"],
    [{ op: "share", from: range, to: {} }, "badField"],
    [{ op: "share", from: [], to: {} }, "badField"],
  ];
  for (const [request, reason] of requests) {
    t.match(await harness.request(request), { ok: false, reason }, JSON.stringify(request));
  }
  t.match(await harness.request({ op: "remove", ...range }, "body"), { reason: "bodyMismatch" });
  t.strictSame(harness.picture(), before);
});

t.test(
  "sharing needs read on the source and write on the target, removing needs write",
  async (t) => {
    harness.fileAt("read", "0123", 0o640, { ...ALICE, gid: MAIL_GROUP });
    harness.fileAt("write", "0123", 0o620, { ...ALICE, gid: MAIL_GROUP });
    const share = (from: string, to: string) =>
      harness.request(
        { op: "share", from: { path: from, offset: 0, length: 1 }, to: { path: to } },
        "",
        BOB,
      );
    const before = harness.picture();
    t.match(await share("write", "write"), { error: "EACCES", reason: "noRead", path: "write" });
    t.match(await share("read", "read"), { error: "EACCES", reason: "noWrite", path: "read" });
    const remove = { op: "remove", path: "read", offset: 0, length: 1 };
    t.match(await harness.request(remove, "", BOB), { error: "EACCES", reason: "noWrite" });
    t.strictSame(harness.picture(), before);
    t.match(await share("read", "write"), { ok: true });
    t.match(await harness.request({ ...remove, path: "write" }, "", BOB), { ok: true });
  },
);

t.test("another process's lock refuses them, the caller's own does not", async (t) => {
  const a = harness.fileAt("a", "0123456789");
  const remove = { op: "remove", path: "a", offset: 0, length: 1 };
  const share = { op: "share", from: { path: "a", offset: 0, length: 1 }, to: { path: "a" } };
  for (const flavor of ["posix", "flock"] as const) {
    harness.lock(a, "write", 99, flavor);
    const before = harness.picture();
    for (const request of [remove, share]) {
      t.match(await harness.request(request), { error: "EBUSY", reason: "locked", path: "a" });
    }
    harness.lock(a, "read", 99, flavor);
    t.match(await harness.request(remove), { error: "EBUSY", reason: "locked" }, "a reader");
    t.strictSame(harness.picture(), before);
    harness.lock(a, "unlock", 99, flavor);
    harness.lock(a, "write", ROOT_CALLER.pid, flavor);
    for (const request of [remove, share]) t.match(await harness.request(request), { ok: true });
    harness.lock(a, "unlock", ROOT_CALLER.pid, flavor);
  }
});

t.test("another process's lock behind the caller's own is seen too", async (t) => {
  const a = harness.fileAt("a", "0123456789");
  const lock = (pid: number, start: number, end: number) =>
    harness.locks.setLock(a, {
      owner: BigInt(pid),
      handle: pid,
      flavor: "posix",
      type: "write",
      start,
      end,
      pid,
    });
  lock(ROOT_CALLER.pid, 0, 4);
  const remove = { op: "remove", path: "a", offset: 0, length: 1 };
  t.match(await harness.request(remove), { ok: true });
  lock(77, 5, 6);
  t.match(await harness.request(remove), { reason: "locked" });
});

t.test(
  "another process's read lock refuses them beside the caller's own, whoever was first",
  async (t) => {
    const a = harness.fileAt("a", "0123456789");
    const range = { path: "a", offset: 0, length: 1 };
    const requests = [
      { op: "remove", ...range },
      { op: "share", from: range, to: { path: "a" } },
    ];
    for (const flavor of ["posix", "flock"] as const) {
      for (const order of [
        [ROOT_CALLER.pid, 99],
        [99, ROOT_CALLER.pid],
      ] as const) {
        for (const pid of order) harness.lock(a, "read", pid, flavor);
        const before = harness.picture();
        for (const request of requests) {
          const reply = await harness.request(request);
          t.match(
            reply,
            { error: "EBUSY", reason: "locked", path: "a" },
            `${flavor} ${order.join()}`,
          );
        }
        t.strictSame(harness.picture(), before);
        harness.lock(a, "unlock", 99, flavor);
        for (const request of requests) t.match(await harness.request(request), { ok: true });
        harness.lock(a, "unlock", ROOT_CALLER.pid, flavor);
      }
    }
  },
);

t.test("a dotlock of another user refuses them, the caller's own does not", async (t) => {
  harness.fileAt("a", "0123456789", 0o600, ALICE);
  harness.fileAt("a.lock", "", 0o600, ALICE);
  const remove = { op: "remove", path: "a", offset: 0, length: 1 };
  t.match(await harness.request(remove), { reason: "locked" });
  t.match(await harness.request(remove, "", ALICE), { ok: true });
});

t.test("statistics tell everybody the logical bytes, and only root what is stored", async (t) => {
  harness.fileAt("a", "0123456789", 0o600);
  harness.fileAt("b", "xyz", 0o600);
  harness.directoryAt("closed", 0o700);
  harness.fileAt("closed/c");
  await harness.request({
    op: "share",
    from: { path: "a", offset: 0, length: 4 },
    to: { path: "b" },
  });
  t.strictSame(await harness.request({ op: "statistics" }, "", ALICE), {
    ok: true,
    logicalBytes: 17,
    files: 3,
  });
  t.match(await harness.request({ op: "statistics" }), {
    logicalBytes: 17,
    storedBytes: 13,
    sharedBytes: 4,
    units: 2,
    files: 3,
    pending: 0,
    pendingNames: 0,
    segments: 1,
    deadBytes: 0,
    indexLagBytes: Number,
  });
  const of = (path: string, caller = ALICE) =>
    harness.request({ op: "statistics", path }, "", caller);
  t.strictSame(await of("a"), { ok: true, logicalBytes: 10 }, "as stat(2): no right on the file");
  t.strictSame(await of("b", ROOT_CALLER), {
    ok: true,
    logicalBytes: 7,
    storedBytes: 7,
    sharedBytes: 4,
  });
  t.match(await of("closed/c"), { error: "EACCES", reason: "noSearch", path: "closed/c" });
  t.match(await of("missing"), { error: "ENOENT", path: "missing" });
  t.match(await of("closed"), { ok: true, logicalBytes: 0 });
});

import fc from "fast-check";
import t from "tap";
import { FILES_MAX, PRIVATE_BYTES_MAX, UNITS_NAMED_MAX } from "../fs/hints/limits.ts";
import { StoreError } from "../fs/store/errors.ts";
import { ALICE, delivery, exchange, Harness, ROOT, ROOT_CALLER } from "./hints-harness.ts";

let harness: Harness;
t.beforeEach(async () => {
  harness = await Harness.open();
});
t.afterEach(() => harness.close());

t.test("one message in many mailboxes is stored once", async (t) => {
  const paths = Array.from({ length: 100 }, (_, k) => `box${k}`);
  for (const path of paths) harness.fileAt(path, "", 0o600, ALICE);
  const message = "m".repeat(5_000);
  const own = paths.map((path) => `to ${path}\n`);
  const units = harness.store.statistics().units;
  t.match(await harness.deliver(message, paths, own), { ok: true, delivered: 100, pending: 0 });
  for (const [k, path] of paths.entries()) {
    t.equal(harness.text(path), `${own[k]}${message}`);
  }
  const { storedBytes, sharedBytes, units: after } = harness.store.statistics();
  t.equal(storedBytes, 5_000 + own.join("").length);
  t.equal(sharedBytes, 5_000);
  t.equal(after - units, 1);
});

t.test("to a single mailbox private and shared bytes are one extent", async (t) => {
  const ino = harness.fileAt("a");
  await harness.deliver("shared", ["a"], ["own "]);
  t.equal(harness.text("a"), "own shared");
  t.equal(harness.store.extents(ino, 0, 100).length, 1);
});

t.test("a message longer than a unit of the store is delivered to one and to many", async (t) => {
  const message = Array.from({ length: 90_000 }, (_, k) => `line ${k}\n`).join("");
  for (const path of ["a", "b", "c"]) harness.fileAt(path);
  t.match(await harness.deliver(message, ["a"], ["1 "]), { ok: true });
  t.match(await harness.deliver(message, ["b", "c"], ["2 ", "3 "]), { ok: true });
  t.ok(harness.text("a") === `1 ${message}`);
  t.ok(harness.text("b") === `2 ${message}`);
  t.ok(harness.text("c") === `3 ${message}`);
});

t.test("private bytes alone, shared bytes alone, and as many as may be", async (t) => {
  for (const path of ["a", "b"]) harness.fileAt(path);
  const long = "p".repeat(PRIVATE_BYTES_MAX);
  t.match(await harness.deliver("", ["a", "b"], [long, long]), { ok: true });
  t.match(await harness.deliver("s", ["a", "b"]), { ok: true });
  t.ok(harness.text("a") === `${long}s` && harness.text("b") === `${long}s`);
});

t.test("a mailbox that a delivery makes has not been read since it was changed", async (t) => {
  await harness.deliver("message", [{ path: "a", create: {} }]);
  const { atimeSec, mtimeSec } = harness.store.inode(harness.ino("a"))!;
  t.ok(atimeSec < mtimeSec, `${atimeSec} and ${mtimeSec}`);
});

t.test("ten thousand mailboxes are made and filled by one request", async (t) => {
  const create = { mode: 0o600, uid: ALICE.uid, gid: ALICE.gid };
  const to = Array.from({ length: FILES_MAX }, (_, k) => ({ path: `box${k}`, create }));
  const own = to.map(({ path }) => `${path} `);
  t.match(await harness.deliver("message", to, own), { ok: true, delivered: FILES_MAX });
  t.equal(harness.text("box9999"), "box9999 message");
  t.match(harness.store.inode(harness.ino("box0")), { mode: 0o100600, uid: ALICE.uid, nlink: 1 });
  t.match(await harness.deliver("again", to, own), { ok: true, delivered: FILES_MAX });
  t.equal(harness.text("box9999"), "box9999 messagebox9999 again");
});

t.test(
  "what is told to the kernel: each file from its old end, a directory that got names",
  async (t) => {
    const a = harness.fileAt("a", "12345");
    harness.invalidated.length = 0;
    await harness.deliver("x", ["a", { path: "b", create: {} }, { path: "c", create: {} }]);
    t.strictSame(harness.invalidated, [`${a}@5`, `${ROOT}@-1`]);
  },
);

t.test(
  "times of mailboxes, and of directories that got names, are those of the delivery",
  async (t) => {
    const a = harness.fileAt("a");
    const directory = harness.directoryAt("d");
    harness.sec += 50;
    await harness.deliver("x", ["a", { path: "d/b", create: {} }]);
    for (const ino of [a, directory, harness.ino("d/b")]) {
      t.match(harness.store.inode(ino), { mtimeSec: harness.sec, ctimeSec: harness.sec });
    }
  },
);

t.test("a delivery takes away set-id bits, as a write does", async (t) => {
  const ino = harness.fileAt("a", "", 0o6777);
  await harness.deliver("x", ["a"]);
  t.equal(harness.store.inode(ino)?.mode, 0o100777);
});

t.test("names that are not UTF-8 can be delivered to", async (t) => {
  const name = "b\xf6x";
  harness.files.makeNode(ROOT, name, 0o100600, 0, ROOT_CALLER);
  harness.fileAt("bö");
  const path64 = Buffer.from(name, "latin1").toString("base64");
  t.match(await harness.deliver("x", [{ path64 }, "bö"]), { ok: true });
  t.equal(harness.store.inode(harness.store.lookup(ROOT, name))?.size, 1);
  t.equal(harness.text("bö"), "x");
  const missing = Buffer.from("\xff", "latin1").toString("base64");
  t.match(await harness.deliver("x", [{ path64: missing }]), { error: "ENOENT", path64: missing });
});

/** Each is one wrong target among good ones. */
const wrong: Readonly<Record<string, readonly [target: object, error: string, reason: string]>> = {
  "is missing": [{ path: "missing" }, "ENOENT", "notFound"],
  "has a missing directory": [{ path: "missing/x", create: {} }, "ENOENT", "notFound"],
  "is a directory": [{ path: "dir" }, "EISDIR", "isDirectory"],
  "is a directory with a slash": [{ path: "dir/", create: {} }, "EISDIR", "isDirectory"],
  "has a file as directory": [{ path: "b/x", create: {} }, "ENOTDIR", "notDirectory"],
  "is a file with a slash": [{ path: "b/" }, "ENOTDIR", "notDirectory"],
  "is a fifo": [{ path: "fifo" }, "EINVAL", "notRegular"],
  "is the control file": [{ path: ".onespool" }, "EPERM", "controlFile"],
  "is the control file, by another way": [
    { path: "dir/../.onespool", create: {} },
    "EPERM",
    "controlFile",
  ],
  "is absolute": [{ path: "/b" }, "EINVAL", "absolutePath"],
  "is absolute, deep": [{ path: "/dir/b" }, "EINVAL", "absolutePath"],
  "is empty": [{ path: "" }, "ENOENT", "notFound"],
  "leads out": [{ path: "../etc/passwd" }, "EXDEV", "leavesMount"],
  "is a link that leads out": [{ path: "out" }, "EXDEV", "leavesMount"],
  "is a link to an absolute path": [{ path: "absolute" }, "EXDEV", "leavesMount"],
  "is a link to itself": [{ path: "loop" }, "ELOOP", "tooManyLinks"],
  "is a link to nothing": [{ path: "dangling" }, "ENOENT", "notFound"],
  "has a long name": [{ path: "n".repeat(256), create: {} }, "ENAMETOOLONG", "nameTooLong"],
  "has a long directory name": [{ path: `${"n".repeat(256)}/x` }, "ENAMETOOLONG", "nameTooLong"],
  "has many private bytes": [
    { path: "b", privateBytes: PRIVATE_BYTES_MAX + 1 },
    "EMSGSIZE",
    "privateTooLong",
  ],
  "has a strange count of private bytes": [{ path: "b", privateBytes: 1.5 }, "EINVAL", "badField"],
  "has a strange mode": [{ path: "new", create: { mode: 0o4755 } }, "EINVAL", "badField"],
  "has a strange owner": [{ path: "new", create: { uid: -1 } }, "EINVAL", "badField"],
  "has a strange field": [{ path: "b", privatebytes: 3 }, "EINVAL", "unknownField"],
  "has a strange field for its making": [
    { path: "new", create: { owner: 1 } },
    "EINVAL",
    "badField",
  ],
  "was named before": [{ path: "a" }, "EINVAL", "fileNamedTwice"],
  "was named before by a link": [{ path: "link" }, "EINVAL", "fileNamedTwice"],
  "was named before by a hard link": [{ path: "hard" }, "EINVAL", "fileNamedTwice"],
  "was named before by another path": [{ path: "dir/../a" }, "EINVAL", "fileNamedTwice"],
  "is made twice": [{ path: "dir/.././new0", create: {} }, "EINVAL", "fileNamedTwice"],
};

for (const [what, [target, error, reason]] of Object.entries(wrong)) {
  t.test(`a file that ${what} refuses the delivery, is named, and nothing changes`, async (t) => {
    for (const name of ["a", "b", "z"]) harness.fileAt(name, "old");
    harness.directoryAt("dir");
    harness.files.makeNode(ROOT, "fifo", 0o010644, 0, ROOT_CALLER);
    harness.linkAt("out", "dir/../../etc/passwd");
    harness.linkAt("absolute", "/etc/passwd");
    harness.linkAt("loop", "loop");
    harness.linkAt("dangling", "nothing");
    harness.linkAt("link", "dir/../a");
    harness.hardLinkAt("hard", "a");
    harness.fileAt("z.lock");
    const before = harness.picture();
    harness.invalidated.length = 0;
    const to = [{ path: "a" }, { path: "z" }, { path: "new0", create: {} }, target, { path: "b" }];
    const fields = { op: "deliver", shared: [{ bytes: 3 }], to };
    const { path } = target as { path: string };
    t.match(await harness.request(fields, "abc"), { ok: false, error, reason, path });
    t.strictSame(harness.picture(), before);
    t.strictSame(harness.invalidated, []);
  });
}

const to = [{ path: "a" }];
const malformed: Readonly<Record<string, readonly [fields: object, body: string, reason: string]>> =
  {
    "no files": [{ shared: [{ bytes: 1 }] }, "x", "badField"],
    "an empty list of files": [{ shared: [{ bytes: 1 }], to: [] }, "x", "badField"],
    "files that are no list": [{ shared: [{ bytes: 1 }], to: { path: "a" } }, "x", "badField"],
    "a file that is no object": [{ shared: [{ bytes: 1 }], to: ["a"] }, "x", "badField"],
    "a file that is null": [{ shared: [{ bytes: 1 }], to: [null] }, "x", "badField"],
    "a file without a path": [{ shared: [{ bytes: 1 }], to: [{}] }, "x", "badField"],
    "a path that is a number": [{ shared: [{ bytes: 1 }], to: [{ path: 1 }] }, "x", "badField"],
    "a path with a NUL": [{ shared: [{ bytes: 1 }], to: [{ path: "a\0" }] }, "x", "badField"],
    "half a surrogate": [{ shared: [{ bytes: 1 }], to: [{ path: "\ud800" }] }, "x", "badField"],
    "two paths": [{ shared: [{ bytes: 1 }], to: [{ path: "a", path64: "YQ==" }] }, "x", "badField"],
    "a path64 that is none": [{ shared: [{ bytes: 1 }], to: [{ path64: "a?" }] }, "x", "badField"],
    "a path64 with a NUL": [{ shared: [{ bytes: 1 }], to: [{ path64: "YQA=" }] }, "x", "badField"],
    "a long path": [
      { shared: [{ bytes: 1 }], to: [{ path: "a/".repeat(3_000) }] },
      "x",
      "pathTooLong",
    ],
    "nothing to deliver": [{ to }, "", "badField"],
    "shared bytes that are no list": [{ shared: {}, to }, "", "badField"],
    "a piece that is no object": [{ shared: [1], to }, "x", "badField"],
    "a piece of no bytes": [{ shared: [{ bytes: 0 }], to }, "", "badField"],
    "a piece of two kinds": [{ shared: [{ bytes: 1, unit: "1" }], to }, "x", "unknownField"],
    "a unit with a strange range": [{ shared: [{ unit: "1", offset: -1 }], to }, "", "badField"],
    "a unit of no length": [{ shared: [{ unit: "1", length: 0 }], to }, "", "badField"],
    "a unit that is not there": [{ shared: [{ unit: "1" }], to }, "", "unknownUnit"],
    "more bytes than are there": [{ shared: [{ bytes: 2 }], to }, "x", "bodyMismatch"],
    "fewer bytes than are there": [{ shared: [{ bytes: 1 }], to }, "xx", "bodyMismatch"],
    "a strange field": [{ shared: [{ bytes: 1 }], to, durable: false }, "x", "unknownField"],
    "a field called __proto__": [
      JSON.parse('{"__proto__":1,"to":[{"path":"a"}]}') as object,
      "",
      "unknownField",
    ],
    "too many files": [
      { shared: [{ bytes: 1 }], to: Array.from({ length: FILES_MAX + 1 }, () => ({ path: "a" })) },
      "x",
      "tooManyFiles",
    ],
    "too many pieces": [
      { shared: Array.from({ length: UNITS_NAMED_MAX + 1 }, () => ({ bytes: 1 })), to },
      "x".repeat(UNITS_NAMED_MAX + 1),
      "tooManyUnits",
    ],
  };
for (const [what, [fields, body, reason]] of Object.entries(malformed)) {
  t.test(`a delivery with ${what} is refused`, async (t) => {
    harness.fileAt("a", "old");
    const before = harness.picture();
    const request = { op: "deliver", ...fields };
    if (Object.hasOwn(fields, "__proto__")) {
      Object.defineProperty(request, "__proto__", { value: 1, enumerable: true });
    }
    t.match(await harness.request(request, body), { ok: false, reason });
    t.strictSame(harness.picture(), before);
  });
}

t.test("a delivery that would add too many extents is refused", async (t) => {
  const paths = Array.from({ length: 300 }, (_, k) => `box${k}`);
  for (const path of paths) harness.fileAt(path);
  const session = harness.session();
  const { units } = await exchange(session, { op: "write" }, "x");
  const shared = Array.from({ length: 4_000 }, () => ({ unit: (units as string[])[0] }));
  const targets = paths.map((path) => ({ path }));
  t.match(await exchange(session, { op: "deliver", shared, to: targets }), {
    error: "E2BIG",
    reason: "tooManyExtents",
  });
  session.close();
});

t.test(
  "a full store refuses the delivery, the first file is named, and nothing changes",
  async (t) => {
    for (const path of ["a", "b"]) harness.fileAt(path, "old");
    const before = harness.picture();
    const { store } = harness;
    const commit = store.commit.bind(store);
    for (const code of ["STORE_FULL", "STORE_IO"] as const) {
      store.commit = () => {
        throw new StoreError(code, "for the test");
      };
      t.match(await harness.deliver("x", ["a", "b"], ["1", "2"]), {
        ok: false,
        error: code === "STORE_FULL" ? "ENOSPC" : "EIO",
        path: "a",
      });
      store.commit = commit;
      t.strictSame(harness.picture(), before);
    }
    t.match(await harness.deliver("x", ["a"]), { ok: true });
  },
);

t.test("pending deliveries that find the store full show when it has room", async (t) => {
  const ino = harness.fileAt("a");
  harness.lock(ino, "write");
  await harness.deliver("x", ["a"]);
  const { store } = harness;
  const commit = store.commit.bind(store);
  store.commit = () => {
    throw new StoreError("STORE_FULL", "for the test");
  };
  harness.lock(ino, "unlock");
  t.equal(harness.text("a"), "");
  store.commit = commit;
  harness.deliveries.tick();
  t.equal(harness.text("a"), "x");
});

t.test("what was answered is there after a restart", async (t) => {
  harness.fileAt("a");
  await harness.deliver("shared", ["a", { path: "b", create: {} }], ["1 ", "2 "]);
  await harness.restart();
  t.equal(harness.text("a"), "1 shared");
  t.equal(harness.text("b"), "2 shared");
});

t.test("any sequence of deliveries gives what appending to each file gives", async (t) => {
  const boxes = ["a", "b", "c", "d", "e"];
  const size = fc.oneof(fc.nat(50), fc.constantFrom(4_096, 70_000, 262_144, 300_000));
  const one = fc.record({
    shared: size,
    to: fc.uniqueArray(fc.constantFrom(...boxes), { minLength: 1, maxLength: 5 }),
    own: fc.array(fc.nat(200), { minLength: 5, maxLength: 5 }),
    locked: fc.subarray(boxes),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(one, { minLength: 1, maxLength: 8 }), async (deliveries) => {
      const model = new Map<string, string>();
      for (const path of boxes) {
        if (harness.ino(path) !== 0) harness.unlink(path);
        harness.fileAt(path);
        model.set(path, "");
      }
      for (const [k, { shared, to, own, locked }] of deliveries.entries()) {
        for (const path of locked) harness.lock(harness.ino(path), "write");
        const message = `${k}`.repeat(shared + 1).slice(0, shared + 1);
        const owns = to.map((path, n) => `${path}${k}`.repeat(own[n] ?? 0));
        const reply = await harness.deliver(message, to, owns);
        if (reply["pending"] !== to.filter((path) => locked.includes(path)).length) return false;
        for (const [n, path] of to.entries()) {
          model.set(path, `${model.get(path)}${owns[n]}${message}`);
        }
        harness.deliveries.check();
        for (const path of locked) harness.lock(harness.ino(path), "unlock");
      }
      return boxes.every((path) => harness.text(path) === model.get(path));
    }),
    { numRuns: 60, verbose: true },
  );
  t.pass("60 random sequences (a failure prints its seed and path)");
});

t.test("a request may name a path by bytes that look like another encoding", async (t) => {
  harness.fileAt("ü");
  t.match(await harness.request(...delivery("x", ["ü"])), { ok: true });
  t.equal(harness.text("ü"), "x");
});

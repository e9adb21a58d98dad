/**
 * A process dies with a request in its hands: right before the commit of the request is written, or right before its
 * reply. The kernel sends it again, and it has happened once. Without a mount: the store of the dead process is a copy.
 */
import { closeSync, cpSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { CONTROL_INO } from "../fs/files/control.ts";
import { StoreError } from "../fs/store/errors.ts";
import { entryOut, FUSE_WRITE_KILL_SUIDGID } from "../fs/kernel/abi.ts";
import { handleOf, text, tick, u32, u64 } from "./kernel-requests.ts";
import type { Body, OpcodeName } from "./takeover-life.ts";
import { create, creating, Killed, Life, livesOf, writing } from "./takeover-life.ts";

const again = 2n ** 63n;
const O_RDWR = 2;
const O_APPEND = 0o2000;
const S_IFREG = 0o100000;
const RENAME_EXCHANGE = 2;
const XATTR_CREATE = 1;

interface Request {
  readonly name: OpcodeName;
  readonly node: number;
  readonly body: Body;
}

interface Case {
  readonly prepare: (life: Life) => Request;
  /** What is there afterwards. */
  readonly state: (life: Life) => unknown;
  readonly wanted: unknown;
  /** What is read from the control file. */
  readonly answer?: object;
}

const names = ({ spool }: Life): string[] =>
  ["a", "b", "c"].filter((name) => spool.store.lookup(1, name) !== 0);
const content = ({ spool }: Life, name: string): string =>
  spool.store.read(spool.store.lookup(1, name), 0, 1000).toString();

const xattrs = ({ spool }: Life, name: string): Record<string, string> => {
  const ino = spool.store.lookup(1, name);
  const all = spool.operations.listXattr(ino);
  if (typeof all === "number") throw new Error(`${all}`);
  const { operations } = spool;
  return Object.fromEntries(all.map((key) => [key, operations.getXattr(ino, key).toString()]));
};

/** Through the control file, by the owner of `a`, which is made. */
function hinting(life: Life, line: object, body = ""): Request {
  create(life, "a", "one ");
  const handle = handleOf(life.ask("OPEN", CONTROL_INO, [u32(O_RDWR), u32(0)]));
  life.spool.store.commit([
    { type: "attributes", ino: life.spool.store.lookup(1, "a"), uid: 1001 },
  ]);
  const text = JSON.stringify({ ...line, bodyBytes: body.length });
  return { name: "WRITE", node: CONTROL_INO, body: writing(handle, `${text}\n${body}`, 0) };
}

function delivering(life: Life): Request {
  return hinting(life, { op: "deliver", shared: [{ bytes: 3 }], to: [{ path: "a" }] }, "two");
}

const cases: Record<string, Case> = {
  append: {
    prepare: (life) => {
      const { ino, handle } = create(life, "a", "one ");
      return { name: "WRITE", node: ino, body: writing(handle, "two", O_APPEND) };
    },
    state: (life) => content(life, "a"),
    wanted: "one two",
  },
  create: {
    prepare: () => ({ name: "CREATE", node: 1, body: creating("a") }),
    state: names,
    wanted: ["a"],
  },
  mknod: {
    prepare: () => {
      const body = [u32(S_IFREG | 0o600), u32(0), u32(0), u32(0), text("a")];
      return { name: "MKNOD", node: 1, body };
    },
    state: names,
    wanted: ["a"],
  },
  mkdir: {
    prepare: () => ({ name: "MKDIR", node: 1, body: [u32(0o755), u32(0), text("a")] }),
    state: (life) => [names(life), life.spool.store.inode(1)?.nlink],
    wanted: [["a"], 3],
  },
  symlink: {
    prepare: () => ({ name: "SYMLINK", node: 1, body: [text("a"), text("target")] }),
    state: names,
    wanted: ["a"],
  },
  link: {
    prepare: (life) => ({
      name: "LINK",
      node: 1,
      body: [u64(create(life, "a").ino), text("b")],
    }),
    state: (life) => [names(life), life.spool.store.inode(life.spool.store.lookup(1, "a"))?.nlink],
    wanted: [["a", "b"], 2],
  },
  unlink: {
    prepare: (life) => {
      create(life, "a");
      create(life, "b");
      return { name: "UNLINK", node: 1, body: [text("a")] };
    },
    state: names,
    wanted: ["b"],
  },
  rmdir: {
    prepare: (life) => {
      life.ask("MKDIR", 1, [u32(0o755), u32(0), text("a")]);
      return { name: "RMDIR", node: 1, body: [text("a")] };
    },
    state: (life) => [names(life), life.spool.store.inode(1)?.nlink],
    wanted: [[], 2],
  },
  rename: {
    prepare: (life) => {
      create(life, "a", "A");
      create(life, "b", "B");
      return { name: "RENAME", node: 1, body: [u64(1), text("a"), text("b")] };
    },
    state: (life) => [names(life), content(life, "b")],
    wanted: [["b"], "A"],
  },
  exchange: {
    prepare: (life) => {
      create(life, "a", "A");
      create(life, "b", "B");
      const body = [u64(1), u32(RENAME_EXCHANGE), u32(0), text("a"), text("b")];
      return { name: "RENAME2", node: 1, body };
    },
    state: (life) => [content(life, "a"), content(life, "b")],
    wanted: ["B", "A"],
  },
  setxattr: {
    prepare: (life) => {
      const body = [u32(1), u32(XATTR_CREATE), text("user.x"), Buffer.from("v")];
      return { name: "SETXATTR", node: create(life, "a").ino, body };
    },
    state: (life) => xattrs(life, "a"),
    wanted: { "user.x": "v" },
  },
  removexattr: {
    prepare: (life) => {
      const { ino } = create(life, "a");
      for (const name of ["user.x", "user.y"]) {
        life.ask("SETXATTR", ino, [u32(1), u32(0), text(name), Buffer.from("v")]);
      }
      return { name: "REMOVEXATTR", node: ino, body: [text("user.x")] };
    },
    state: (life) => xattrs(life, "a"),
    wanted: { "user.y": "v" },
  },
  share: {
    prepare: (life) =>
      hinting(life, {
        op: "share",
        from: { path: "a", offset: 0, length: 3 },
        to: { path: "a" },
      }),
    state: (life) => content(life, "a"),
    wanted: "one one",
    answer: { ok: true, offset: 4, length: 3 },
  },
  remove: {
    prepare: (life) => hinting(life, { op: "remove", path: "a", offset: 0, length: 2 }),
    state: (life) => content(life, "a"),
    wanted: "e ",
    answer: { ok: true, size: 2 },
  },
  deliver: {
    prepare: (life) => delivering(life),
    state: (life) => content(life, "a"),
    wanted: "one two",
    answer: { ok: true, delivered: 1, pending: 0 },
  },
  "deliver under a lock": {
    prepare: (life) => {
      create(life, "a.lock");
      return delivering(life);
    },
    state: (life) => {
      const { store } = life.spool;
      const before = [content(life, "a"), store.statistics().pending];
      life.ask("UNLINK", 1, [text("a.lock")]);
      return [...before, content(life, "a"), store.statistics().pending];
    },
    wanted: ["one ", 1, "one two", 0],
    answer: { ok: true, delivered: 1, pending: 1 },
  },
};

t.test(
  "a hint whose reply nobody has read is not done again by the second successor",
  async (t) => {
    const { first, next } = await livesOf(t);
    const handle = handleOf(first.ask("OPEN", CONTROL_INO, [u32(O_RDWR), u32(0)]));
    const reading = [u64(handle), u64(0), u32(1000), u32(0), u64(0), u32(0), u32(0)];
    const read = async (life: Life, unique: bigint): Promise<unknown> =>
      JSON.parse((await life.askSoon("READ", CONTROL_INO, reading, unique)).body.toString());
    const asking = (line: object, body = ""): Body =>
      writing(handle, `${JSON.stringify({ ...line, bodyBytes: body.length })}\n${body}`, 0);
    await first.askSoon("WRITE", CONTROL_INO, asking({ op: "write" }, "unit"), 1000n);
    t.same(await read(first, 1002n), { ok: true, units: ["1"] });
    await first.askSoon("WRITE", CONTROL_INO, asking({ op: "forget", units: ["1"] }), 1004n);
    await first.askSoon("WRITE", CONTROL_INO, asking({ op: "write" }, "other"), 1006n);
    for (let turn = 0; turn < 100; turn++) await tick();
    const second = await next();
    for (let turn = 0; turn < 100; turn++) await tick();
    second.spool.store.observer = undefined;
    const third = await next();
    t.same(await read(third, 1008n), { ok: true, forgotten: 1 });
    t.same(await read(third, 1010n), { ok: true, units: ["2"] });
  },
);

t.test("an append whose set-user-id bits were still to go takes them away", async (t) => {
  const { first, next } = await livesOf(t);
  const { ino, handle } = create(first, "a", "one ");
  const { store } = first.spool;
  store.commit([{ type: "attributes", ino, mode: S_IFREG | 0o4755 }]);
  const body = writing(handle, "two", O_APPEND);
  const killing = [...body.slice(0, 3), u32(FUSE_WRITE_KILL_SUIDGID), ...body.slice(4)];
  const { observer } = store;
  let commits = 0;
  store.observer = {
    committing: (changes, end) => {
      if (++commits === 2) throw new StoreError("STORE_FULL", "killed");
      observer?.committing(changes, end);
    },
    refused: () => undefined,
  };
  await first.loseReplyTo("WRITE", ino, killing, 1000n);
  t.equal(commits, 2);
  const second = await next();
  const reply = await second.askSoon("WRITE", ino, killing, 1000n + again);
  t.equal(reply.error, 0);
  t.equal(content(second, "a"), "one two");
  t.equal(second.spool.store.inode(ino)?.mode, S_IFREG | 0o755);
});

for (const [what, { prepare, state, wanted, answer }] of Object.entries(cases)) {
  for (const when of ["before its commit", "before its reply"] as const) {
    t.test(`${what}: it dies ${when}`, async (t) => {
      const directory = mkdtempSync(join(tmpdir(), "onespool-once-"));
      const files = [0, 1].map((k) => openSync(join(directory, `j${k}`), "w+"));
      const pair = files as unknown as readonly [number, number];
      const first = await Life.begin(join(directory, "first"), pair);
      t.teardown(async () => {
        await first.spool.close();
        for (const file of files) closeSync(file);
        rmSync(directory, { recursive: true, force: true });
      });
      const { name, node, body } = prepare(first);
      const { store } = first.spool;
      const { observer } = store;
      first.isDying = true;
      if (when === "before its commit") {
        store.observer = {
          committing: (changes, end) => {
            observer?.committing(changes, end);
            // Whoever hears of it makes a reply of it, which the dead process does not send.
            throw new StoreError("STORE_FULL", "killed");
          },
          refused: () => undefined,
        };
      }
      try {
        first.send(name, node, body, 1000n);
      } catch (error) {
        if (!(error instanceof Killed)) throw error;
      }
      // What the dead process would still do must not be noted: it is over.
      store.observer = undefined;
      cpSync(join(directory, "first"), join(directory, "second"), { recursive: true });

      const second = await Life.begin(join(directory, "second"), pair);
      t.teardown(() => second.spool.close());
      const reply = await second.askSoon(name, node, body, 1000n + again);
      t.equal(reply.error, 0);
      if (what === "link") {
        t.equal(reply.body.readBigUInt64LE(entryOut.attr_valid), 0n, "not trusted, as at first");
      }
      t.equal(reply.unique, 1000n + again, "as the kernel knows it");
      if (answer !== undefined) {
        const handle = body[0]!.readBigUInt64LE();
        const reading = [u64(handle), u64(0), u32(1000), u32(0), u64(0), u32(0), u32(0)];
        const read = await second.askSoon("READ", CONTROL_INO, reading, 1002n);
        t.same(JSON.parse(read.body.toString()), answer);
        const repeated = await second.askSoon("READ", CONTROL_INO, reading, 1004n);
        t.equal(repeated.body.length, 0, "one reply");
      }
      t.same(state(second), wanted);
    });
  }
}

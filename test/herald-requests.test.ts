/** The requests of the herald's process (fs/kernel/herald/requests.ts), spoken to the protocol. */
import { mock } from "node:test";
import t from "tap";
import { ENODATA, ENOENT, EPERM, ESTALE } from "../base/errno.ts";
import { entryOut, openFlag, openOut, writeOut } from "../fs/kernel/abi.ts";
import { Herald } from "../fs/kernel/herald/herald.ts";
import { TICK_MS } from "../fs/kernel/herald/queue.ts";
import { heraldNode } from "../fs/kernel/herald/requests.ts";
import { handleOf, nodeOf, Speaker, text, u32, u64 } from "./kernel-requests.ts";

type TestContext = Parameters<Parameters<typeof t.test>[0]>[0];

/** The pid that a Speaker's requests have. */
const pid = 4242;

function setUp(t: TestContext): { speaker: Speaker; herald: Herald; node: number } {
  const speaker = new Speaker();
  const { session } = speaker.protocol;
  speaker.operations.put("alice", "text");
  const node = speaker.lookup("alice");
  const onWarning = (): void => undefined;
  const herald = new Herald(session, { directory: "/nowhere", device: 0, onWarning });
  session.herald = herald;
  t.teardown(() => herald.pause());
  return { speaker, herald, node };
}

const opening = [u32(1), u32(0)];
const writing = (handle: number, offset = 3): Buffer[] => [
  u64(handle),
  u64(offset),
  u32(1),
  u32(0),
  u64(0),
  u32(1),
  u32(0),
  Buffer.from("!"),
];

t.test(
  "the name is that of the file whose turn it is, once, and the byte goes nowhere",
  async (t) => {
    const { speaker, herald, node } = setUp(t);
    herald.changed(node);
    herald.pid = pid;
    const directory = speaker.ask("LOOKUP", 1, [text(".onespool-herald")]);
    t.equal(nodeOf(directory), heraldNode);
    for (let k = 0; k < 2; k += 1) {
      const entry = speaker.ask("LOOKUP", heraldNode, [text("next")]);
      t.equal(nodeOf(entry), node);
      t.equal(Number(entry.body.readBigUInt64LE(entryOut.entry_valid)), 0);
    }
    const opened = speaker.ask("OPEN", node, opening);
    t.ok(opened.body.readUInt32LE(openOut.open_flags) & openFlag.DIRECT_IO);
    const written = speaker.ask("WRITE", node, writing(handleOf(opened)));
    t.equal(written.error, 0);
    t.equal(written.body.readUInt32LE(writeOut.size), 1);
    t.equal(speaker.ask("LOOKUP", heraldNode, [text("next")]).error, ENOENT);
    t.equal(String(speaker.operations.node(node).data), "text");
    t.equal(speaker.operations.calls.get("write") ?? 0, 0);
    t.equal(speaker.operations.calls.get("open") ?? 0, 0);
  },
);

t.test("the byte is refused where the file has ended since its size was told", async (t) => {
  const { speaker, herald, node } = setUp(t);
  herald.changed(node);
  herald.pid = pid;
  speaker.ask("LOOKUP", heraldNode, [text("next")]);
  const handle = handleOf(speaker.ask("OPEN", node, opening));
  const file = speaker.operations.node(node);
  file.data = Buffer.from("tex");
  t.equal(speaker.ask("WRITE", node, writing(handle)).error, ESTALE);
  t.equal(speaker.ask("WRITE", node, writing(handle, 2)).error, 0, "the last byte");
  file.data = Buffer.alloc(0);
  t.equal(speaker.ask("WRITE", node, writing(handle, 0)).error, ESTALE);
  file.data = Buffer.from("a longer text");
  t.equal(speaker.ask("WRITE", node, writing(handle)).error, 0, "it has grown");
});

t.test("the process can open nothing else and change nothing", async (t) => {
  const { speaker, herald, node } = setUp(t);
  const handle = speaker.open(node, 2);
  herald.pid = pid;
  t.equal(speaker.ask("OPEN", node, opening).error, EPERM, "it is not this file's turn");
  t.equal(speaker.ask("WRITE", node, writing(handle)).error, EPERM);
  const before = new Map(speaker.operations.calls);
  const zeros = Buffer.alloc(128);
  for (const name of ["SETATTR", "FALLOCATE", "SETXATTR", "LINK", "CREATE", "IOCTL"] as const) {
    t.equal(speaker.ask(name, node, [zeros]).error, EPERM, name);
  }
  for (const name of ["UNLINK", "RMDIR"] as const) {
    t.equal(speaker.ask(name, 1, [text("alice")]).error, EPERM, name);
  }
  t.strictSame(speaker.operations.calls, before, "the operations were not asked");
});

t.test("nobody else finds the file", async (t) => {
  const { speaker, herald, node } = setUp(t);
  herald.changed(node);
  t.equal(nodeOf(speaker.ask("LOOKUP", 1, [text(".onespool-herald")])), heraldNode);
  t.equal(speaker.ask("LOOKUP", heraldNode, [text("next")]).error, ENOENT);
  t.equal(speaker.ask("OPENDIR", heraldNode, opening).error, EPERM);
  t.equal(speaker.ask("GETATTR", heraldNode, [Buffer.alloc(16)]).error, 0);
  herald.pid = pid;
  t.equal(nodeOf(speaker.ask("LOOKUP", heraldNode, [text("next")])), node, "its turn was kept");
});

t.test("the directory has no extended attributes, whoever asks", async (t) => {
  const { speaker, herald } = setUp(t);
  const asking = (size: number): Buffer => Buffer.concat([u32(size), u32(0)]);
  for (const asker of [pid + 1, pid]) {
    herald.pid = asker;
    const name = text("security.selinux");
    for (const size of [0, 255]) {
      t.equal(speaker.ask("GETXATTR", heraldNode, [asking(size), name]).error, ENODATA);
    }
    const length = speaker.ask("LISTXATTR", heraldNode, [asking(0)]);
    t.equal(length.error, 0);
    t.equal(length.body.readUInt32LE(0), 0);
    const names = speaker.ask("LISTXATTR", heraldNode, [asking(255)]);
    t.equal(names.error, 0);
    t.equal(names.body.length, 0);
    t.equal(speaker.ask("SETXATTR", heraldNode, [Buffer.alloc(128)]).error, EPERM);
  }
});

t.test("a change while it is paused starts no process; it is told of afterwards", async (t) => {
  mock.timers.enable({ apis: ["setInterval"] });
  t.teardown(() => mock.timers.reset());
  const { herald, node } = setUp(t);
  const none = herald.pid;
  await herald.pause();
  herald.changed(node);
  mock.timers.tick(100 * TICK_MS);
  t.equal(herald.pid, none);
  herald.resume();
  mock.timers.tick(TICK_MS);
  t.not(herald.pid, none);
  await herald.pause();
  t.equal(herald.pid, none);
  herald.changed(node);
  mock.timers.tick(100 * TICK_MS);
  t.equal(herald.pid, none);
});

t.test("a file that the kernel has forgotten or that cannot be opened is given up", async (t) => {
  const { speaker, herald, node } = setUp(t);
  speaker.operations.put("bob", "text");
  const bob = speaker.lookup("bob");
  herald.changed(bob);
  herald.changed(node);
  speaker.send("FORGET", bob, [u64(1)]);
  herald.pid = pid;
  for (let k = 0; k < 4; k += 1) {
    t.equal(nodeOf(speaker.ask("LOOKUP", heraldNode, [text("next")])), node);
  }
  t.equal(speaker.ask("LOOKUP", heraldNode, [text("next")]).error, ENOENT);
});

t.test("the name waits until the kernel has been told of the change", async (t) => {
  const { speaker, herald, node } = setUp(t);
  const settle = speaker.unsettle(node);
  herald.changed(node);
  herald.pid = pid;
  const before = speaker.replies.length;
  speaker.send("LOOKUP", heraldNode, [text("next")]);
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(speaker.replies.length, before);
  const replied = speaker.askSoon("LOOKUP", heraldNode, [text("next")]);
  settle();
  t.equal(nodeOf(await replied), node);
});

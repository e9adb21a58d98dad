/** Files that are cut off or emptied and written anew: what is written as it was keeps its units. */
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import type { Errno } from "../base/errno.ts";
import { OFFCUT_IDLE_TICKS_MAX, OFFCUT_LENGTH_MIN, OFFCUTS_MAX } from "../fs/files/limits.ts";
import { checkStore } from "../fs/store/check.ts";
import { StoreError } from "../fs/store/errors.ts";
import { Store } from "../fs/store/store.ts";
import { ALICE, APPEND, Harness, ok, RDWR, ROOT, ROOT_CALLER } from "./files-harness.ts";
import { Harness as HintsHarness } from "./hints-harness.ts";
import { message, randomFrom, rewriteMailbox, text } from "./movers.ts";

const TRUNC = 0o1000;
const RDONLY = 0;
/** What stdio writes at a time. */
const CHUNK = 4_096;

async function open(test: Test): Promise<Harness> {
  const h = await Harness.open();
  test.teardown(() => h.close());
  return h;
}

function openFile(h: Harness, ino: number, flags = RDWR): number {
  return ok(h.files.open(ino, flags, ROOT_CALLER)).handle;
}

function truncate(h: Harness, ino: number, size = 0): void {
  ok(h.files.setAttributes(ino, { size }));
}

function writeAll(h: Harness, ino: number, data: Buffer, offset = 0, chunk = CHUNK): void {
  for (let at = 0; at < data.length; at += chunk) {
    h.write(ino, offset + at, data.subarray(at, at + chunk));
  }
}

/** A mailbox of which another one shares all bytes. */
function sharedMailbox(h: Harness, name: string, bytes: Buffer): number {
  const ino = h.make(name);
  writeAll(h, ino, bytes);
  const twin = h.make(`${name}.twin`);
  const source = { ino, offset: 0 };
  t.equal(h.files.copyRange(source, { ino: twin, offset: 0 }, bytes.length), bytes.length);
  return ino;
}

function stored(h: Harness): number {
  return h.store.statistics().storedBytes;
}

function mailbox(length: number, seed = 1): Buffer {
  const random = randomFrom(seed);
  const messages: Buffer[] = [];
  for (let have = 0; have < length;) {
    const mail = message(random, 3_000);
    messages.push(mail);
    have += mail.length;
  }
  return Buffer.concat(messages);
}

t.test("a file that is emptied and written as it was is shared as it was", async (t) => {
  const h = await open(t);
  const bytes = mailbox(300_000);
  const ino = sharedMailbox(h, "a", bytes);
  const before = h.store.statistics();
  const handle = openFile(h, ino);
  truncate(h, ino);
  t.equal(h.stat(ino).size, 0);
  t.equal(h.text(ino), "");
  writeAll(h, ino, bytes);
  h.files.release(ino, handle);
  await h.files.orphans.idle();
  t.ok(h.read(ino).equals(bytes));
  const { storedBytes, sharedBytes, logicalBytes, units, files } = h.store.statistics();
  t.match(before, { storedBytes, sharedBytes, logicalBytes, units, files });
  await h.reopen();
  t.ok(h.read(ino).equals(bytes));
});

for (const [what, write] of [
  ["open(2) with O_TRUNC", RDWR | TRUNC],
  ["open(2) with O_TRUNC and O_APPEND", APPEND | TRUNC],
] as const) {
  t.test(`the same with ${what}`, async (t) => {
    const h = await open(t);
    const bytes = mailbox(50_000);
    const ino = sharedMailbox(h, "a", bytes);
    const before = stored(h);
    const handle = openFile(h, ino, write);
    for (let at = 0; at < bytes.length; at += CHUNK) {
      h.write(ino, at, bytes.subarray(at, at + CHUNK), write);
    }
    h.files.release(ino, handle);
    await h.files.orphans.idle();
    t.ok(h.read(ino).equals(bytes));
    t.equal(stored(h), before);
  });
}

t.test("without messages, and with other lines, only these are new", async (t) => {
  for (const seed of [1, 2, 3, 4]) {
    const h = await Harness.open();
    const options = { length: 400_000, bodyLength: 4_000, expunge: 0.2, growing: 0.6 };
    const rewrite = rewriteMailbox(randomFrom(seed), options);
    const ino = sharedMailbox(h, "a", rewrite.before);
    const before = stored(h);
    const handle = openFile(h, ino);
    truncate(h, ino);
    writeAll(h, ino, rewrite.after);
    h.files.release(ino, handle);
    await h.files.orphans.idle();
    t.ok(h.read(ino).equals(rewrite.after));
    const growth = stored(h) - before;
    const bound = rewrite.editedBytes + 100 * (rewrite.edits + rewrite.expunges) + 4_000;
    t.ok(growth <= bound, `${growth} new bytes of ${rewrite.after.length}, at most ${bound}`);
    await h.close();
  }
});

t.test("so it is when a program writes line by line", async (t) => {
  const h = await open(t);
  const options = { length: 100_000, bodyLength: 4_000, expunge: 0.2, growing: 0.6 };
  const rewrite = rewriteMailbox(randomFrom(6), options);
  const ino = sharedMailbox(h, "a", rewrite.before);
  const before = stored(h);
  const handle = openFile(h, ino);
  truncate(h, ino);
  let at = 0;
  for (const line of rewrite.after.toString("latin1").split(/(?<=\n)/)) {
    h.write(ino, at, line);
    at += line.length;
  }
  h.files.release(ino, handle);
  await h.files.orphans.idle();
  t.ok(h.read(ino).equals(rewrite.after));
  const growth = stored(h) - before;
  const bound = 2 * rewrite.editedBytes + 200 * rewrite.expunges;
  t.ok(growth <= bound, `${growth} new bytes of ${rewrite.after.length}, at most ${bound}`);
});

t.test("a tail that is cut and written again is shared as it was", async (t) => {
  const h = await open(t);
  const bytes = mailbox(200_000);
  const ino = sharedMailbox(h, "a", bytes);
  const before = stored(h);
  const handle = openFile(h, ino);
  truncate(h, ino, 80_000);
  h.write(ino, 80_000, "X-New: line\n");
  writeAll(h, ino, bytes.subarray(80_000), 80_012);
  h.files.release(ino, handle);
  await h.files.orphans.idle();
  const wanted = [bytes.subarray(0, 80_000), Buffer.from("X-New: line\n"), bytes.subarray(80_000)];
  t.ok(h.read(ino).equals(Buffer.concat(wanted)));
  t.ok(stored(h) - before < 500, `${stored(h) - before} new bytes`);
});

t.test("a program that begins anew finds all of it again", async (t) => {
  const h = await open(t);
  const bytes = mailbox(100_000);
  const ino = sharedMailbox(h, "a", bytes);
  const before = stored(h);
  const handle = openFile(h, ino);
  truncate(h, ino);
  writeAll(h, ino, bytes.subarray(0, 30_000));
  truncate(h, ino);
  truncate(h, ino);
  writeAll(h, ino, bytes);
  h.files.release(ino, handle);
  await h.files.orphans.idle();
  t.ok(h.read(ino).equals(bytes));
  t.equal(stored(h), before);
});

t.test("two files are emptied at once, and each is shared with its own past only", async (t) => {
  const h = await open(t);
  const first = text(randomFrom(1), 60_000);
  const second = text(randomFrom(2), 60_000);
  const a = sharedMailbox(h, "a", first);
  const b = sharedMailbox(h, "b", second);
  const before = stored(h);
  for (const ino of [a, b]) truncate(h, ino);
  for (let at = 0; at < 70_000; at += CHUNK) {
    if (at < second.length) h.write(a, at, second.subarray(at, at + CHUNK));
    if (at < first.length) h.write(b, at, first.subarray(at, at + CHUNK));
  }
  t.ok(h.read(a).equals(second));
  t.ok(h.read(b).equals(first));
  t.ok(stored(h) - before > 110_000, "the other's bytes are not looked at");
  for (const [ino, bytes] of [
    [a, first],
    [b, second],
  ] as const) {
    truncate(h, ino);
    writeAll(h, ino, bytes);
    t.ok(h.read(ino).equals(bytes));
  }
});

t.test("it is kept until the last program that can write has closed the file", async (t) => {
  const h = await open(t);
  const bytes = mailbox(20_000);
  const ino = h.make("a");
  writeAll(h, ino, bytes);
  const reader = openFile(h, ino, RDONLY);
  const [one, two] = [openFile(h, ino), openFile(h, ino)];
  truncate(h, ino);
  h.files.release(ino, one);
  h.files.release(ino, reader);
  await h.files.orphans.idle();
  t.equal(stored(h), bytes.length);
  h.files.release(ino, two);
  await h.files.orphans.idle();
  t.equal(stored(h), 0);
  t.equal(h.store.statistics().units, 0);
});

t.test("without a program that writes it goes after a while", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  writeAll(h, ino, mailbox(20_000));
  truncate(h, ino);
  for (let k = 0; k < OFFCUT_IDLE_TICKS_MAX; k++) h.files.offcuts.tick();
  h.write(ino, 0, "x");
  for (let k = 0; k < OFFCUT_IDLE_TICKS_MAX; k++) h.files.offcuts.tick();
  await h.files.orphans.idle();
  t.ok(stored(h) > 20_000);
  h.files.offcuts.tick();
  await h.files.orphans.idle();
  t.equal(stored(h), 1);
});

t.test(
  "what grows far beyond what it was, is forgotten or changes its owner lets go",
  async (t) => {
    const h = await open(t);
    const changes: ((ino: number) => unknown)[] = [
      (ino) => writeAll(h, ino, text(randomFrom(5), 50_000)),
      (ino) => h.files.forget(ino),
      (ino) => ok(h.files.setAttributes(ino, { uid: ALICE.uid })),
      (ino) => ok(h.files.setAttributes(ino, { gid: ALICE.gid })),
    ];
    for (const [k, change] of changes.entries()) {
      const bytes = mailbox(20_000, k);
      const ino = h.make(`${k}`);
      const before = stored(h);
      writeAll(h, ino, bytes);
      truncate(h, ino);
      t.equal(stored(h), before + bytes.length);
      change(ino);
      await h.files.orphans.idle();
      t.equal(stored(h), before + h.stat(ino).size, `change ${k}`);
    }
  },
);

t.test("only so many are kept, and nothing of short ones", async (t) => {
  const h = await open(t);
  const bytes = text(randomFrom(3), OFFCUT_LENGTH_MIN);
  const files: number[] = [];
  for (let k = 0; k <= OFFCUTS_MAX; k++) {
    const ino = h.make(`${k}`);
    h.write(ino, 0, bytes);
    files.push(ino);
  }
  for (const ino of files) truncate(h, ino);
  await h.files.orphans.idle();
  t.equal(stored(h), OFFCUTS_MAX * bytes.length);
  h.write(files[1] as number, 0, bytes.subarray(0, 100));
  const short = h.make("short");
  h.write(short, 0, bytes.subarray(1));
  truncate(h, short);
  await h.files.orphans.idle();
  t.equal(stored(h), OFFCUTS_MAX * bytes.length);
  const other = h.make("other");
  h.write(other, 0, bytes);
  truncate(h, other);
  await h.files.orphans.idle();
  const { size } = h.stat(files[1] as number);
  t.equal(stored(h), OFFCUTS_MAX * bytes.length, "the oldest went, not the one that was used");
  t.equal(size, 100);
  await h.files.close();
  t.equal(stored(h), 100);
});

t.test("it is counted neither as a file nor as bytes of one", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  writeAll(h, ino, mailbox(20_000));
  const { files, directories } = h.store.statistics();
  const inFileSystem = h.store.inodeCount;
  truncate(h, ino, 5_000);
  t.match(h.store.statistics(), { files, directories, logicalBytes: 5_000 });
  t.equal(h.store.inodeCount, inFileSystem);
  t.match(h.stat(ino), { size: 5_000, nlink: 1 });
  t.same(await h.names(), ["a"]);
});

t.test("on a full disk a file is cut off without it", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  writeAll(h, ino, mailbox(20_000));
  const commit = h.store.commit.bind(h.store);
  let refused = 0;
  h.store.commit = (changes) => {
    if (changes.some(({ type }) => type === "cut")) {
      refused++;
      throw new StoreError("STORE_FULL", "full");
    }
    commit(changes);
  };
  truncate(h, ino);
  h.store.commit = commit;
  t.equal(refused, 1);
  t.equal(h.stat(ino).size, 0);
  t.equal(stored(h), 0);
});

t.test("a sparse file is cut off, and its holes stay holes", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  h.write(ino, 2 ** 40, "end");
  truncate(h, ino, 10);
  h.write(ino, 10, Buffer.alloc(5_000));
  t.equal(stored(h), 3, "zeros that were there are not stored");
  truncate(h, ino, 2 ** 41);
  truncate(h, ino);
  t.equal(h.store.statistics().logicalBytes, 0);
  t.equal(h.stat(ino).size, 0);
});

t.test("after a crash there is what was written so far, and nothing else", async (t) => {
  const h = await open(t);
  const bytes = mailbox(100_000);
  const ino = sharedMailbox(h, "a", bytes);
  const parent = mkdtempSync(join(tmpdir(), "onespool-offcuts-"));
  t.teardown(() => rmSync(parent, { recursive: true, force: true }));
  await h.store.checkpoint();
  openFile(h, ino);
  truncate(h, ino);
  const written = [0, 50_000, bytes.length];
  let at = 0;
  for (const [k, length] of written.entries()) {
    writeAll(h, ino, bytes.subarray(at, length), at);
    at = length;
    for (const withIndex of [false, true]) {
      if (withIndex) await h.store.checkpoint();
      const copy = join(parent, `${k}-${withIndex}`);
      cpSync(h.directory, copy, { recursive: true });
      t.same((await checkStore(copy)).problems, []);
      const store = await Store.open(copy);
      t.equal(store.orphans().length, 1);
      t.ok(store.read(ino, 0, bytes.length).equals(bytes.subarray(0, length)));
      await store.close();
      t.same((await checkStore(copy, { rebuildIndex: true })).problems, []);
      const crashed = await Harness.open({ directory: copy });
      t.same(crashed.store.orphans(), []);
      t.equal(crashed.stat(ino).size, length);
      t.match(crashed.store.statistics(), { storedBytes: bytes.length, files: 2 });
      await crashed.close();
    }
  }
});

t.test("a large file is cut off in one record that is short", async (t) => {
  const h = await open(t);
  const ino = h.make("a");
  const unit = h.store.writeUnit([text(randomFrom(1), 4_000)]);
  const extents = Array.from({ length: 10_000 }, () => ({ unit, offset: 0, length: 100 }));
  for (let k = 0; k < 20; k++) {
    h.store.commit([{ type: "splice", ino, offset: 0, remove: 0, extents }]);
  }
  const before = h.store.statistics().indexLagBytes;
  truncate(h, ino, 1_050);
  t.ok(h.store.statistics().indexLagBytes - before < 200);
  t.equal(h.stat(ino).size, 1_050);
  for (const { ino: other, tree } of h.store.internals().state.inodes.values()) {
    tree.check();
    if (other !== ino && other !== ROOT) t.equal(tree.length, 20_000_000 - 1_050);
  }
});

t.test("a delivery between the emptying and the writing", async (t) => {
  const open = async (test: Test): Promise<{ h: HintsHarness; ino: number; bytes: Buffer }> => {
    const h = await HintsHarness.open();
    test.teardown(() => h.close());
    const bytes = mailbox(40_000);
    const ino = h.fileAt("a", bytes.toString("latin1"));
    const handle = ok(h.files.open(ino, RDWR, ROOT_CALLER)).handle;
    test.teardown(() => h.files.release(ino, handle));
    return { h, ino, bytes };
  };
  const write = (h: HintsHarness, ino: number, bytes: Buffer): void => {
    for (let offset = 0; offset < bytes.length; offset += CHUNK) {
      const data = bytes.subarray(offset, offset + CHUNK);
      const request = { ino, handle: 0, offset, data, flags: RDWR };
      void ok(h.files.write(request, ROOT_CALLER) as { length: number } | Errno);
    }
  };
  await t.test("stands at the new end without a lock, and is written over", async (t) => {
    const { h, ino, bytes } = await open(t);
    const before = h.store.statistics().storedBytes;
    ok(h.files.setAttributes(ino, { size: 0 }));
    await h.deliver("new mail\n", ["a"]);
    t.equal(h.text("a"), "new mail\n");
    write(h, ino, bytes);
    t.equal(h.text("a"), bytes.toString("latin1"));
    t.equal(h.store.statistics().storedBytes, before);
    await h.deliver("newer mail\n", ["a"]);
    t.equal(h.text("a"), `${bytes.toString("latin1")}newer mail\n`);
  });
  await t.test("waits for the lock, and stands behind what was written", async (t) => {
    const { h, ino, bytes } = await open(t);
    h.lock(ino, "write");
    ok(h.files.setAttributes(ino, { size: 0 }));
    t.match(await h.deliver("new mail\n", ["a"]), { pending: 1 });
    const before = h.store.statistics().storedBytes;
    write(h, ino, bytes);
    t.equal(h.text("a"), bytes.toString("latin1"));
    t.equal(h.store.statistics().storedBytes, before);
    h.lock(ino, "unlock");
    t.equal(h.text("a"), `${bytes.toString("latin1")}new mail\n`);
  });
});

/**
 * A program that writes and looks at the file after each write (Dovecot does) costs two requests for each, not
 * three; and what somebody else changes meanwhile is seen all the same.
 */
import { join } from "node:path";
import t from "tap";
import { OwnWrites } from "../fs/kernel/own-writes.ts";
import { Program, TestMount, whyNoMount } from "./kernel-mounted.ts";
import { Speaker, u32, u64 } from "./kernel-requests.ts";

const skip = whyNoMount();
const mounted = skip === false ? {} : { skip };

t.test("attributes are made out of date behind a write, once two replies have told them", (t) => {
  const writes = new OwnWrites();
  writes.wrote(5);
  t.equal(writes.shouldOutdate(5), false, "the first reply");
  writes.wrote(5);
  t.equal(writes.shouldOutdate(5), false, "the second");
  t.equal(writes.shouldOutdate(5), false, "not without a write");
  writes.wrote(5);
  t.equal(writes.shouldOutdate(6), false, "another file");
  t.equal(writes.shouldOutdate(5), true);
  t.equal(
    writes.shouldOutdate(5),
    false,
    "once for a write: who looks again shall be answered by the kernel",
  );
  writes.wrote(5);
  writes.forget(5);
  t.equal(writes.shouldOutdate(5), false, "somebody else changed it");
  writes.wrote(5);
  t.equal(writes.shouldOutdate(5), false, "that must be told twice again");
  writes.wrote(5);
  t.equal(writes.shouldOutdate(5), true);
  t.end();
});

t.test(
  "what is remembered of many files is bounded, and forgetting costs nothing but requests",
  (t) => {
    const writes = new OwnWrites();
    for (let ino = 2; ino < 10_000; ino++) {
      writes.wrote(ino);
      if (writes.shouldOutdate(ino)) t.fail(`inode ${ino}`);
      writes.wrote(ino);
    }
    for (const expected of [false, false, true]) {
      writes.wrote(7);
      t.equal(writes.shouldOutdate(7), expected);
    }
    t.end();
  },
);

t.test(
  "the notification goes right before the reply, and not for a write that went elsewhere",
  (t) => {
    const speaker = new Speaker();
    speaker.operations.put("box", "0123456789");
    const ino = speaker.lookup("box");
    const handle = speaker.open(ino, 1);
    const look = (): void => void speaker.ask("GETATTR", ino, [u32(0), u32(0), u64(0)]);
    const write = (): void => {
      const data = Buffer.from("ab");
      const head = [u64(handle), u64(0), u32(data.length), u32(0), u64(0), u32(2), u32(0)];
      speaker.ask("WRITE", ino, [...head, data]);
    };
    for (let k = 0; k < 2; k++) {
      write();
      look();
    }
    t.same(speaker.outdated, []);
    write();
    const repliesBefore = speaker.replies.length;
    look();
    t.same(speaker.outdated, [{ ino, repliesBefore }]);
    look();
    t.equal(speaker.outdated.length, 1);
    t.end();
  },
);

t.test(
  "a size that a hint has changed is told before a reply that the kernel may drop",
  async (t) => {
    const speaker = new Speaker();
    speaker.operations.put("box", "0123456789");
    const ino = speaker.lookup("box");
    const look = (): void => void speaker.ask("GETATTR", ino, [u32(0), u32(0), u64(0)]);
    look();
    t.same(speaker.lastBytes, [], "nothing has changed it");
    speaker.protocol.session.grew(ino);
    look();
    t.same(speaker.lastBytes, [{ ino, offset: 9, byte: "9".charCodeAt(0) }]);
    look();
    t.equal(speaker.lastBytes.length, 1, "once");
    speaker.operations.put("empty", "");
    const empty = speaker.lookup("empty");
    speaker.protocol.session.grew(empty);
    speaker.ask("GETATTR", empty, [u32(0), u32(0), u64(0)]);
    t.equal(speaker.lastBytes.length, 1, "a file without bytes has no last one");
  },
);

/** Writes and looks as often as a line says, then tells how often a look was wrong, and the bytes behind the size it expects. */
const program = `
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
size = os.fstat(fd).st_size
for line in sys.stdin:
    wrong = 0
    for i in range(int(line)):
        os.pwrite(fd, b"%08d" % i, 40 * (i % 100))
        wrong += os.fstat(fd).st_size != size
    print(wrong, os.pread(fd, 100, size).decode(), flush=True)
    size = os.fstat(fd).st_size
`;

t.test(
  "writes with fstat(2) behind each ask for few attributes, and see others' changes",
  mounted,
  async (t) => {
    const mount = new TestMount();
    t.teardown(() => mount.clean());
    await mount.started();
    await mount.tell({ do: "put", name: "box", text: "-".repeat(4000) });
    const writer = new Program(["python3", "-c", program, join(mount.directory, "box")]);
    t.equal(await writer.ask("200"), "0 ");
    t.equal(await mount.calls("write"), 200);
    const asked = await mount.calls("getXattr");
    t.ok(asked < 10, `${asked} GETXATTR`);
    await mount.tell({ do: "append", name: "box", text: "new" });
    t.equal(await writer.ask("0"), "0 new");
    t.equal(await writer.ask("200"), "0 ");
    await mount.tell({ do: "append", name: "box", text: "er" });
    t.equal(await writer.ask("20"), "20 er", "each look saw the new size");
    t.ok((await mount.calls("getXattr")) < 30);
    await writer.end();
  },
);

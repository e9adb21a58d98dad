/**
 * Deliveries and locks: a delivery never waits for a lock and never changes a mailbox under one. It is
 * answered at once, pends on the mailbox's name, and shows in order when the lock is released.
 */
import { constants } from "node:fs";
import { equal, ok } from "node:assert/strict";
import t from "tap";
import {
  F_OFD_SETLK,
  F_RDLCK,
  F_SETLK,
  F_SETLKW,
  F_UNLCK,
  F_WRLCK,
  LOCK_EX,
  LOCK_SH,
  LOCK_UN,
} from "./suite/linux.ts";
import type { Program } from "./suite/program.ts";
import { alice, bob } from "./suite/place.ts";
import { eventually, Harness, needs } from "./system/harness.ts";
import type { HintClient } from "./system/hints.ts";

const timeout = 240_000;
t.setTimeout(timeout);

interface Lock {
  take(program: Program, fd: number, path: string): Promise<unknown>;
  drop(program: Program, fd: number, path: string): Promise<unknown>;
}

const lock = (command: number, type: number) => (program: Program, fd: number) =>
  program.call("lock", fd, command, type, 0, 0);

const mailboxLocks: Readonly<Record<string, Lock>> = {
  fcntl: { take: lock(F_SETLK, F_WRLCK), drop: lock(F_SETLK, F_UNLCK) },
  "fcntl on one byte": {
    take: (program, fd) => program.call("lock", fd, F_SETLK, F_WRLCK, 7, 1),
    drop: lock(F_SETLK, F_UNLCK),
  },
  "fcntl, for reading": { take: lock(F_SETLK, F_RDLCK), drop: lock(F_SETLK, F_UNLCK) },
  "fcntl, downgraded": {
    take: async (program, fd) => {
      await lock(F_SETLK, F_WRLCK)(program, fd);
      await lock(F_SETLK, F_RDLCK)(program, fd);
    },
    drop: lock(F_SETLK, F_UNLCK),
  },
  OFD: { take: lock(F_OFD_SETLK, F_WRLCK), drop: lock(F_OFD_SETLK, F_UNLCK) },
  flock: {
    take: (program, fd) => program.call("flock", fd, LOCK_EX),
    drop: (program, fd) => program.call("flock", fd, LOCK_UN),
  },
  "flock, shared": {
    take: (program, fd) => program.call("flock", fd, LOCK_SH),
    drop: (program, fd) => program.call("flock", fd, LOCK_UN),
  },
  "flock, released by close": {
    take: (program, fd) => program.call("flock", fd, LOCK_EX),
    drop: (program, fd) => program.close(fd),
  },
  dotlock: {
    take: (program, _fd, path) => program.writeFile(`${path}.lock`, ""),
    drop: (program, _fd, path) => program.unlink(`${path}.lock`),
  },
  "dotlock, renamed away": {
    take: (program, _fd, path) => program.writeFile(`${path}.lock`, ""),
    drop: (program, _fd, path) => program.rename(`${path}.lock`, `${path}.was`),
  },
};

/** Makes mailboxes and delivers to them; each delivery has to be accepted. */
class Sender {
  readonly #harness: Harness;
  readonly #hints: HintClient;
  #number = 0;

  constructor(harness: Harness, hints: HintClient) {
    this.#harness = harness;
    this.#hints = hints;
  }

  async newBox(): Promise<{ path: string; box: string }> {
    const box = `box-${this.#number++}`;
    const path = this.#harness.path(box);
    await this.#hints.program.writeFile(path, "first\n");
    return { path, box };
  }

  /** One half of the message is each mailbox's own, the other is shared. */
  async deliver(boxes: readonly string[], text: string): Promise<void> {
    const message = Buffer.from(text, "latin1");
    const middle = message.length >> 1;
    const targets = boxes.map((path) => ({ path, private: message.subarray(0, middle) }));
    const reply = await this.#hints.deliver(message.subarray(middle), targets);
    equal(reply.ok, true, JSON.stringify(reply));
  }
}

await t.test("kernel binding", needs("kernel", timeout), async (t) => {
  const harness = await Harness.start(t, { binding: "kernel" });
  const hints = await harness.hints(harness.program());
  const sender = new Sender(harness, hints);

  for (const [name, { take, drop }] of Object.entries(mailboxLocks)) {
    await t.test(`${name}: deliveries show after the unlock, in order`, async (t) => {
      const [holder, reader] = [harness.program(), harness.program()];
      const { path, box } = await sender.newBox();
      const fd = await holder.open(path, constants.O_RDWR);
      const watching = await reader.open(path);
      await take(holder, fd, path);
      for (let i = 0; i < 5; i++) await sender.deliver([box], `message ${i}\n`);
      // Not by the holder: closing any descriptor of the file would drop its fcntl locks.
      equal(await reader.text(path), "first\n");
      equal((await reader.fstat(watching)).size, 6);
      await drop(holder, fd, path);
      const all = `first\n${[0, 1, 2, 3, 4].map((i) => `message ${i}\n`).join("")}`;
      await eventually("the deliveries show", async () => (await reader.fstat(watching)).size > 6);
      equal((await reader.pread(watching, 1000, 0)).toString(), all);
      await sender.deliver([box], "and one more\n");
      equal(await reader.text(path), `${all}and one more\n`);
      await Promise.all([holder.end(), reader.end()]);
      t.pass();
    });
  }

  await t.test("a lock on one mailbox holds back that mailbox only", async (t) => {
    const holder = harness.program();
    const [one, two] = [await sender.newBox(), await sender.newBox()];
    const fd = await holder.open(one.path, constants.O_RDWR);
    await holder.call("flock", fd, LOCK_EX);
    await sender.deliver([one.box, two.box], "to both\n");
    equal(await holder.text(one.path), "first\n");
    equal(await holder.text(two.path), "first\nto both\n");
    await holder.end();
    const reader = harness.program();
    await eventually("it shows", async () => (await reader.text(one.path)) !== "first\n");
    equal(await reader.text(one.path), "first\nto both\n");
    t.pass();
  });

  await t.test("a delivery shows in the file that has the name after the unlock", async (t) => {
    const holder = harness.program();
    const { path, box } = await sender.newBox();
    const fd = await holder.open(path, constants.O_RDWR);
    await holder.call("lock", fd, F_SETLK, F_WRLCK, 0, 0);
    await sender.deliver([box], "late\n");
    await holder.writeFile(`${path}.new`, "rewritten\n");
    await holder.rename(`${path}.new`, path);
    await holder.call("lock", fd, F_SETLK, F_UNLCK, 0, 0);
    await holder.close(fd);
    await eventually("it shows", async () => (await holder.text(path)) !== "rewritten\n");
    equal(await holder.text(path), "rewritten\nlate\n");
    t.pass();
  });

  await t.test("a delivery to a mailbox that was removed makes a new one", async (t) => {
    const holder = harness.program();
    const { path, box } = await sender.newBox();
    const fd = await holder.open(path, constants.O_RDWR);
    await holder.call("flock", fd, LOCK_EX);
    await sender.deliver([box], "late\n");
    await holder.unlink(path);
    await holder.close(fd);
    await eventually("it shows", () => holder.exists(path));
    equal(await holder.text(path), "late\n");
    t.pass();
  });

  await t.test("the death of the program that holds the lock lets deliveries show", async (t) => {
    const [holder, reader] = [harness.program(), harness.program()];
    const { path, box } = await sender.newBox();
    const fd = await holder.open(path, constants.O_RDWR);
    await holder.call("lock", fd, F_SETLK, F_WRLCK, 0, 0);
    await sender.deliver([box], "late\n");
    equal(await reader.text(path), "first\n");
    await holder.end();
    await eventually("it shows", async () => (await reader.text(path)) === "first\nlate\n");
    t.pass();
  });

  await t.test("who gets the lock next sees a mailbox that does not change", async (t) => {
    const programs = [harness.program(), harness.program(), harness.program()];
    const { path, box } = await sender.newBox();
    const fds = await Promise.all(programs.map((one) => one.open(path, constants.O_RDWR)));
    for (let round = 0; round < 30; round++) {
      const [holder, fd] = [programs[round % 3]!, fds[round % 3]!];
      await holder.call("lock", fd, F_SETLKW, F_WRLCK, 0, 0);
      const { size } = await holder.fstat(fd);
      await sender.deliver([box], `round ${round}\n`);
      equal((await holder.fstat(fd)).size, size);
      equal((await holder.pread(fd, 10_000, 0)).length, size);
      // At its idea of the end, as a program does that trusts its lock.
      await holder.pwrite(fd, `own ${round}\n`, size);
      await holder.call("lock", fd, F_SETLK, F_UNLCK, 0, 0);
    }
    const reader = programs[0]!;
    const own = (text: string) => text.split("\n").filter((line) => line.startsWith("own ")).length;
    const delivered = (text: string) =>
      text.split("\n").filter((line) => line.startsWith("round "));
    await eventually("all show", async () => delivered(await reader.text(path)).length === 30);
    const text = await reader.text(path);
    equal(own(text), 30);
    equal(delivered(text).join(), Array.from({ length: 30 }, (_, i) => `round ${i}`).join());
    t.pass();
  });

  await t.test("pending deliveries survive kill -9 and count until they show", async (t) => {
    const holder = harness.program();
    const { path, box } = await sender.newBox();
    await holder.writeFile(`${path}.lock`, "");
    await sender.deliver([box], "late\n");
    const before = await hints.request({ op: "statistics" });
    ok((before["pending"] as number) >= 1, JSON.stringify(before));
    await harness.mount.kill();
    await harness.mount.serve();
    const after = harness.program();
    const next = await harness.hints(after);
    equal((await next.request({ op: "statistics" }))["pending"], before["pending"]);
    equal(await after.text(path), "first\n");
    await after.unlink(`${path}.lock`);
    await eventually("it shows", async () => (await after.text(path)) === "first\nlate\n");
    t.pass();
  });
});

await t.test("rewriting under a lock", needs("kernel", timeout), async (t) => {
  for (const kind of ["fcntl", "flock", "dotlock"]) {
    await t.test(`${kind}: a program that expunges and deliveries lose nothing`, async (t) => {
      const harness = await Harness.start(t, { binding: "kernel" });
      const keeper = harness.program();
      await keeper.writeFile(harness.path("box"), "");
      const expunging = harness
        .program()
        .call("expunge_under_lock", harness.path("box"), kind, 60) as Promise<Buffer[]>;
      const hints = await harness.hints(keeper);
      const sender = new Sender(harness, hints);
      const sent = Array.from(
        { length: 150 },
        (_, i) => `message ${i} ${"x".repeat((i * 97) % 800)}\n`,
      );
      for (const message of sent) await sender.deliver(["box"], message);
      const removed = (await expunging).map((line) => line.toString("latin1"));
      const found = async () => removed.join("") + (await keeper.text(harness.path("box")));
      await eventually("nothing pends", async () => {
        const statistics = await hints.request({ op: "statistics" });
        return statistics["pending"] === 0;
      });
      // What has pended shows a moment after it is in the mailbox.
      const all = sent.join("");
      await eventually("all show", async () => (await found()).length >= all.length);
      // Messages are removed from the front, so that order is kept over both.
      equal(await found(), all);
      t.pass();
    });
  }
});

await t.test("dotlocks that do not count", needs("kernel", timeout), async (t) => {
  const harness = await Harness.start(t, { binding: "kernel" });
  const root = harness.program();
  await root.call("os.chmod", harness.mount.mountpoint, 0o777);
  const sender = new Sender(harness, await harness.hints(root));
  await t.test("a stranger's dotlock does not hold a delivery back", async (t) => {
    const { path, box } = await sender.newBox();
    await root.call("os.chown", path, alice.uid, alice.gid);
    await harness.program(bob).writeFile(`${path}.lock`, "");
    await sender.deliver([box], "at once\n");
    equal(await root.text(path), "first\nat once\n");
    await root.unlink(`${path}.lock`);
    await harness.program(alice).writeFile(`${path}.lock`, "");
    await sender.deliver([box], "late\n");
    equal(await root.text(path), "first\nat once\n");
    t.pass();
  });
  await t.test("a dotlock older than ten minutes does not hold a delivery back", async (t) => {
    const { path, box } = await sender.newBox();
    await root.writeFile(`${path}.lock`, "");
    const old = Math.floor(Date.now() / 1000) - 601;
    await root.call("utimensat", `${path}.lock`, [old, 0], [old, 0]);
    await sender.deliver([box], "at once\n");
    equal(await root.text(path), "first\nat once\n");
    t.pass();
  });
});

await t.test("fuse-native binding", needs("fuse-native", timeout), async (t) => {
  const harness = await Harness.start(t, { binding: "fuse-native" });
  const program = harness.program();
  const sender = new Sender(harness, await harness.hints(program));
  await t.test("a dotlock holds deliveries back", async (t) => {
    const { path, box } = await sender.newBox();
    await program.writeFile(`${path}.lock`, "");
    await sender.deliver([box], "one\n");
    await sender.deliver([box], "two\n");
    equal(await program.text(path), "first\n");
    await program.unlink(`${path}.lock`);
    const expected = "first\none\ntwo\n";
    await eventually("they show", async () => (await program.text(path)) === expected);
    t.pass();
  });
});

/** Programs that watch a file with inotify(7) hear of what hints do to it. */
import { execFileSync } from "node:child_process";
import { constants, readFileSync } from "node:fs";
import t from "tap";
import type { Program } from "./suite/program.ts";
import { eventually, Harness, needs } from "./system/harness.ts";
import type { HintClient } from "./system/hints.ts";

const IN_MODIFY = 0x2;
const IN_CLOSE_WRITE = 0x8;
/** Those of Dovecot 2.3.19 for an mbox (lib/ioloop-notify-inotify.c), and of mutt 2.2 (monitor.c): seen with objdump and strace. */
const dovecotMask = 0x7c2;
const muttMask = IN_CLOSE_WRITE;
const both = dovecotMask | muttMask;
const waitSeconds = 30;
const F_SETLK = 6;
const F_WRLCK = 1;
const F_UNLCK = 2;

type TestContext = Parameters<Parameters<typeof t.test>[0]>[0];

const binding = "kernel";
const options = needs(binding, 120_000);
t.setTimeout(300_000);

interface Watched {
  readonly program: Program;
  readonly fd: number;
}

async function watching(harness: Harness, name: string, mask: number): Promise<Watched> {
  const program = harness.program();
  const fd = (await program.call("inotify")) as number;
  await program.call("watch", fd, harness.path(name), mask);
  return { program, fd };
}

/** The masks of the events that have come, at least one; [] when none has come in that time. */
async function events({ program, fd }: Watched, seconds = waitSeconds): Promise<number[]> {
  const found = (await program.call("events", fd, seconds)) as [number, number, Buffer][];
  return found.map(([, mask]) => mask);
}

/** Waits for events until all these bits have come. */
async function expectEvents(t: TestContext, watched: Watched, bits: number): Promise<void> {
  let seen = 0;
  while ((seen & bits) !== bits) {
    const masks = await events(watched);
    if (masks.length === 0) break;
    for (const mask of masks) seen |= mask;
  }
  t.equal(seen & bits, bits, "the events have come");
}

async function start(t: TestContext): Promise<{ harness: Harness; hints: HintClient }> {
  const harness = await Harness.start(t, { binding });
  return { harness, hints: await harness.hints(harness.program()) };
}

function deliver(hints: HintClient, text: string, ...names: string[]): Promise<unknown> {
  const to = names.map((path) => ({ path, create: {} }));
  return hints.deliver(Buffer.from(text), to);
}

/** The herald's process; undefined when there is none. */
function heraldOf(serverPid: number): number | undefined {
  const path = `/proc/${serverPid}/task/${serverPid}/children`;
  for (const pid of readFileSync(path, "utf8").split(" ").filter(Boolean).map(Number)) {
    if (isHerald(pid)) return pid;
  }
  return undefined;
}

function isHerald(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("herald/child.js");
  } catch {
    return false;
  }
}

t.test("an open mailbox that is watched: Dovecot's mask and mutt's", options, async (t) => {
  const { harness, hints } = await start(t);
  await deliver(hints, "one\n", "alice", "bob");
  const reader = harness.program();
  const file = await reader.open(harness.path("alice"));
  const dovecot = await watching(harness, "alice", dovecotMask);
  const mutt = await watching(harness, "alice", muttMask);
  const bob = await watching(harness, "bob", both);
  await deliver(hints, "two\n", "alice");
  const before = await reader.stat(harness.path("alice"));
  await expectEvents(t, dovecot, IN_MODIFY);
  await expectEvents(t, mutt, IN_CLOSE_WRITE);
  t.strictSame(await reader.stat(harness.path("alice")), before, "no size and no time has changed");
  t.equal(String(await reader.pread(file, 100, 0)), "one\ntwo\n");
  t.strictSame(await events(bob, 0), [], "nobody hears of a file that was not changed");
});

t.test("a file that was never opened, and one that is renamed or removed", options, async (t) => {
  const { harness, hints } = await start(t);
  const program = harness.program();
  await deliver(hints, "one\n", "alice", "bob", "carol");
  const alice = await watching(harness, "alice", both);
  const bob = await watching(harness, "bob", both);
  const carol = await watching(harness, "carol", both);
  await deliver(hints, "two\n", "alice", "bob", "carol");
  for (const watched of [alice, bob, carol])
    await expectEvents(t, watched, IN_MODIFY | IN_CLOSE_WRITE);
  // Their next turn comes a second later: by then one has another name and one has none.
  const open = await program.open(harness.path("bob"));
  await deliver(hints, "three\n", "alice", "bob", "carol");
  await program.call("os.rename", harness.path("alice"), harness.path("alicia"));
  await program.call("os.unlink", harness.path("bob"));
  await expectEvents(t, alice, IN_MODIFY | IN_CLOSE_WRITE);
  await expectEvents(t, carol, IN_MODIFY | IN_CLOSE_WRITE);
  t.equal(String(await program.readFile(harness.path("alicia"))), "one\ntwo\nthree\n");
  t.equal(String(await program.pread(open, 100, 0)), "one\ntwo\nthree\n");
  await program.close(open);
  await bob.program.close(bob.fd);
  await eventually("the removed file is gone from the store", async () => {
    const { logicalBytes } = await hints.request({ op: "statistics" });
    return logicalBytes === 28;
  });
});

t.test(
  "after the last of many changes comes an event, and the change is there",
  options,
  async (t) => {
    const { harness, hints } = await start(t);
    await deliver(hints, "0\n", "alice");
    const watched = await watching(harness, "alice", IN_MODIFY);
    const { program } = watched;
    let size = 2;
    for (let round = 0; round < 3; round += 1) {
      for (let k = 0; k < 20; k += 1) {
        await deliver(hints, "x\n", "alice");
        size += 2;
      }
      let seen = 0;
      while (seen < size) {
        if ((await events(watched)).length === 0) break;
        seen = (await program.stat(harness.path("alice"))).size;
      }
      t.equal(seen, size, "seen upon an event");
    }
  },
);

t.test("share and remove, and a delivery that waited for a lock", options, async (t) => {
  const { harness, hints } = await start(t);
  await deliver(hints, "one\n", "alice");
  const watched = await watching(harness, "alice", both);
  const { program } = watched;
  const removed = await hints.request({ op: "remove", path: "alice", offset: 0, length: 2 });
  t.match(removed, { ok: true, size: 2 });
  await expectEvents(t, watched, IN_MODIFY | IN_CLOSE_WRITE);
  const from = { path: "alice", offset: 0, length: 2 };
  t.match(await hints.request({ op: "share", from, to: { path: "alice" } }), { ok: true });
  await expectEvents(t, watched, IN_MODIFY | IN_CLOSE_WRITE);
  t.equal((await program.stat(harness.path("alice"))).size, 4);

  const locker = harness.program();
  const file = await locker.open(harness.path("alice"), constants.O_RDWR);
  await locker.call("lock", file, F_SETLK, F_WRLCK, 0, 0);
  t.match(await deliver(hints, "two\n", "alice"), { pending: 1 });
  t.strictSame(await events(watched, 0), [], "nothing has changed yet");
  await locker.call("lock", file, F_SETLK, F_UNLCK, 0, 0);
  await expectEvents(t, watched, IN_MODIFY | IN_CLOSE_WRITE);
  t.equal((await program.stat(harness.path("alice"))).size, 8);
});

t.test("a herald that dies is replaced; a signal to all does not end it", options, async (t) => {
  const { harness, hints } = await start(t);
  const { mount } = harness;
  await deliver(hints, "one\n", "alice");
  t.equal(heraldOf(mount.pid), undefined, "none before somebody can watch");
  const watched = await watching(harness, "alice", both);
  await deliver(hints, "two\n", "alice");
  await expectEvents(t, watched, IN_MODIFY | IN_CLOSE_WRITE);
  const first = heraldOf(mount.pid) ?? 0;
  t.ok(first > 0);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.kill(first, signal);
  await deliver(hints, "three\n", "alice");
  await expectEvents(t, watched, IN_MODIFY | IN_CLOSE_WRITE);
  t.equal(heraldOf(mount.pid), first);
  t.equal(mount.said, "");

  process.kill(first, "SIGKILL");
  await deliver(hints, "four\n", "alice");
  await expectEvents(t, watched, IN_MODIFY | IN_CLOSE_WRITE);
  const second = heraldOf(mount.pid) ?? 0;
  t.ok(second > 0 && second !== first);
  t.match(
    mount.said,
    /^onespool: the process that tells programs of new mail has ended \(SIGKILL\).*\n$/,
  );
  process.kill(second, "SIGKILL");
  await deliver(hints, "five\n", "alice");
  await expectEvents(t, watched, IN_MODIFY | IN_CLOSE_WRITE);
  t.equal(mount.said.split("\n").length, 2, "it is said once");
});

t.test(
  "the mount can be taken away while events are due, and no process is left",
  options,
  async (t) => {
    const { harness, hints } = await start(t);
    const { mount } = harness;
    const names = Array.from({ length: 300 }, (_, k) => `m${k}`);
    await deliver(hints, "one\n", ...names);
    const watched = await watching(harness, "m0", IN_MODIFY);
    execFileSync("timeout", ["30", "ls", "-l", mount.mountpoint]);
    await deliver(hints, "two\n", ...names);
    await expectEvents(t, watched, IN_MODIFY);
    const herald = heraldOf(mount.pid) ?? 0;
    t.ok(herald > 0);
    await deliver(hints, "three\n", ...names);
    await hints.program.close(hints.fd);
    await watched.program.end();
    await mount.stop();
    t.notOk(isHerald(herald), "gone with the mount");

    await mount.serve();
    const again = await watching(harness, "m0", IN_MODIFY);
    const more = await harness.hints(harness.program());
    await deliver(more, "four\n", ...names);
    await expectEvents(t, again, IN_MODIFY);
    const another = heraldOf(mount.pid) ?? 0;
    t.ok(another > 0);
    await mount.kill();
    await eventually("it ends with a server that was killed", async () => !isHerald(another));
  },
);

t.test("the herald's names are for nobody else", options, async (t) => {
  const { harness, hints } = await start(t);
  const program = harness.program();
  const directory = harness.path(".onespool-herald");
  await deliver(hints, "one\n", "alice");
  const watched = await watching(harness, "alice", IN_MODIFY);
  await deliver(hints, "two\n", "alice");
  await expectEvents(t, watched, IN_MODIFY);
  await deliver(hints, "three\n", "alice");
  t.strictSame(await program.list(harness.mount.mountpoint), ["alice"]);
  await t.rejects(program.open(`${directory}/next`, constants.O_WRONLY), { code: "ENOENT" });
  await t.rejects(program.list(directory), { code: "EPERM" });
  await t.rejects(program.call("os.mkdir", directory), { code: "EEXIST" });
  await t.rejects(program.writeFile(`${directory}/file`, "text"), { code: "EPERM" });
  await t.rejects(program.call("os.rmdir", directory), { code: "ENOENT" });
  await t.rejects(program.call("os.rename", harness.path("alice"), directory), { code: /./ });
  t.match(await deliver(hints, "mail", ".onespool-herald"), { ok: false, reason: "controlFile" });
});

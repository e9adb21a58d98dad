/**
 * What programs see when the process that serves their mount is killed: a pause. And what they see where the kernel
 * does not send requests again, or where no process lives long enough to serve.
 */
import { constants } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import { refuses, waits } from "./suite/expect.ts";
import { F_RDLCK, F_SETLK, F_SETLKW, F_UNLCK, F_WRLCK } from "./suite/linux.ts";
import type { TestContext } from "./suite/run.ts";
import { eventually, Harness, needs } from "./system/harness.ts";

const { O_RDWR, O_CREAT, O_APPEND } = constants;
const timeout = 120_000;
t.setTimeout(timeout * 2);
const options = needs("kernel", timeout);

function start(t: TestContext): Promise<Harness> {
  return Harness.start(t, { binding: "kernel" });
}

t.test("a lock that is held stays, and one that is waited for comes", options, async (t) => {
  const harness = await start(t);
  const [one, two, three] = [harness.program(), harness.program(), harness.program()];
  const path = harness.path("f");
  const fd = await one.open(path, O_RDWR | O_CREAT);
  await one.call("lock", fd, F_SETLK, F_WRLCK, 0, 10);
  await one.call("lock", fd, F_SETLK, F_RDLCK, 20, 10);
  const other = await two.open(path, O_RDWR);
  const waiting = two.call("lock", other, F_SETLKW, F_WRLCK, 0, 0);
  await two.asleepIn("fcntl");
  await harness.mount.killServing();

  const third = await three.open(path, O_RDWR);
  await refuses(three.call("lock", third, F_SETLK, F_RDLCK, 0, 1), "EAGAIN");
  await three.call("lock", third, F_SETLK, F_RDLCK, 20, 10);
  await three.call("lock", third, F_SETLK, F_UNLCK, 20, 10);
  t.ok(await waits(waiting));
  await one.call("lock", fd, F_SETLK, F_UNLCK, 0, 10);
  t.ok(await waits(waiting), "the other range is still locked");
  // The last close gives back what an earlier process has granted.
  await harness.mount.killServing();
  await one.close(fd);
  await waiting;
  await refuses(three.call("lock", third, F_SETLK, F_RDLCK, 0, 1), "EAGAIN");
});

t.test("a wait for a lock can be interrupted in a successor", options, async (t) => {
  const harness = await start(t);
  const [one, two] = [harness.program(), harness.program()];
  const fd = await one.open(harness.path("f"), O_RDWR | O_CREAT);
  await one.call("lock", fd, F_SETLK, F_WRLCK, 0, 0);
  const other = await two.open(harness.path("f"), O_RDWR);
  const waiting = two.call("lock", other, F_SETLKW, F_WRLCK, 0, 0).catch((error: unknown) => error);
  await two.asleepIn("fcntl");
  await harness.mount.killServing();
  // It waits in a successor when that has answered somebody else.
  await one.fstat(fd);
  await sleep(50);
  two.kill();
  await waiting;
  await one.call("lock", fd, F_SETLK, F_UNLCK, 0, 0);
  t.equal(await one.write(fd, "free"), 4);
});

t.test("a file without a name lives until it is closed", options, async (t) => {
  const harness = await start(t);
  const program = harness.program();
  const fd = await program.open(harness.path("f"), O_RDWR | O_CREAT);
  await program.write(fd, "content");
  await program.unlink(harness.path("f"));
  for (let k = 0; k < 3; k++) {
    await harness.mount.killServing();
    await program.write(fd, ` ${k}`);
    t.equal((await program.pread(fd, 100, 0)).toString().slice(0, 7), "content");
  }
  t.equal((await program.fstat(fd)).nlink, 0);
  t.equal((await program.pread(fd, 100, 0)).toString(), "content 0 1 2");
  const hints = await harness.hints(program);
  const logical = async () => (await hints.request({ op: "statistics" }))["logicalBytes"];
  t.equal(await logical(), 13);
  await program.close(fd);
  await eventually("its bytes are gone", async () => (await logical()) === 0);
});

t.test("bytes that are appended and written while nobody serves", options, async (t) => {
  const harness = await start(t);
  const [one, two, three] = [harness.program(), harness.program(), harness.program()];
  const fd = await one.open(harness.path("f"), O_RDWR | O_CREAT | O_APPEND);
  const other = await two.open(harness.path("f"), O_RDWR | O_APPEND);
  await one.write(fd, "begin\n");
  const killing = harness.mount.killServing();
  const writing = [one.write(fd, "one\n"), two.write(other, "two\n")];
  await killing;
  await Promise.all(writing);
  const text = await three.text(harness.path("f"));
  t.match(text, /^begin\n(one\ntwo|two\none)\n$/);
});

t.test("a directory that is half read goes on behind what was read", options, async (t) => {
  const harness = await start(t);
  const program = harness.program();
  const directory = harness.path("d");
  await program.mkdir(directory);
  await program.call("make_files", directory, "f", 2000);
  const begun = (await program.call("scan_begin", directory, 700)) as Buffer[];
  await harness.mount.killServing();
  const rest = (await program.call("scan_end")) as Buffer[];
  const names = new Set([...begun, ...rest].map(String));
  t.equal(begun.length + rest.length, 2000);
  t.equal(names.size, 2000, "each name once");
});

t.test("a request of which half is written is carried out when it is whole", options, async (t) => {
  const harness = await start(t);
  const program = harness.program();
  const hints = await harness.hints(program);
  const own = Buffer.from("message\n");
  const [reply] = [await hints.request({ op: "write", lengths: [own.length] }, own)];
  const [unit] = reply["units"] as string[];
  const line = Buffer.from(
    `${JSON.stringify({
      op: "deliver",
      shared: [{ unit }, { bytes: 6 }],
      to: [{ path: "box", create: { mode: 0o600 } }],
      bodyBytes: 6,
    })}\n`,
  );
  await program.write(hints.fd, line.subarray(0, 30));
  await harness.mount.killServing();
  await program.write(hints.fd, line.subarray(30));
  await program.write(hints.fd, "sec");
  await harness.mount.killServing();
  await program.write(hints.fd, "ond");
  await harness.mount.killServing();
  const text = (await program.read(hints.fd, 10)).toString();
  await harness.mount.killServing();
  const rest = (await program.read(hints.fd, 1000)).toString();
  t.same(JSON.parse(text + rest), { ok: true, delivered: 1, pending: 0 });
  t.equal(await program.text(harness.path("box")), "message\nsecond");
  t.same(await hints.request({ op: "forget", units: [unit] }), { ok: true, forgotten: 1 });
});

t.test("what pends under a lock shows when a successor is given it back", options, async (t) => {
  const harness = await start(t);
  const program = harness.program();
  const fd = await program.open(harness.path("box"), O_RDWR | O_CREAT);
  await program.call("lock", fd, F_SETLK, F_WRLCK, 0, 0);
  const hints = await harness.hints(harness.program());
  const deliver = () => hints.deliver(Buffer.from("mail\n"), [{ path: "box" }]);
  t.same(await deliver(), { ok: true, delivered: 1, pending: 1 });
  await harness.mount.killServing();
  t.same(await deliver(), { ok: true, delivered: 1, pending: 1 });
  t.equal((await program.fstat(fd)).size, 0);
  await program.call("lock", fd, F_SETLK, F_UNLCK, 0, 0);
  await eventually("both show", async () => (await program.fstat(fd)).size === 10);
  t.equal((await program.pread(fd, 100, 0)).toString(), "mail\nmail\n");
});

t.test(
  "SIGTERM ends the keeper and its process, a second mount begins anew",
  options,
  async (t) => {
    const harness = await start(t);
    const program = harness.program();
    await program.writeFile(harness.path("f"), "kept");
    await harness.mount.killServing();
    t.equal(await program.text(harness.path("f")), "kept");
    await harness.mount.remount();
    t.equal(await program.text(harness.path("f")), "kept");
    await harness.mount.stop();
  },
);

t.test("who holds a lock may finish when the mount is told to end", options, async (t) => {
  const harness = await start(t);
  const [one, two] = [harness.program(), harness.program()];
  const fd = await one.open(harness.path("f"), O_RDWR | O_CREAT);
  await one.call("lock", fd, F_SETLK, F_WRLCK, 0, 0);
  const other = await two.open(harness.path("f"), O_RDWR);
  const waiting = two.call("lock", other, F_SETLKW, F_WRLCK, 0, 0).catch((error: unknown) => error);
  await two.asleepIn("fcntl");
  const stopping = harness.mount.stop();
  // More than programs have that hold none.
  await sleep(6000);
  t.equal(await one.write(fd, "whole"), 5);
  await one.call("lock", fd, F_SETLK, F_UNLCK, 0, 0);
  await stopping;
  t.match(await waiting, { code: /^(ECONNABORTED|ENOTCONN)$/ }, "it did not begin");
  await harness.mount.serve();
  t.equal(await harness.program().text(harness.path("f")), "whole");
});

t.test("where the kernel sends nothing again the mount is replaced", options, async (t) => {
  process.env["ONESPOOL_WITHOUT_RESEND"] = "1";
  t.teardown(() => delete process.env["ONESPOOL_WITHOUT_RESEND"]);
  const harness = await start(t);
  const [one, two] = [harness.program(), harness.program()];
  const fd = await one.open(harness.path("f"), O_RDWR | O_CREAT);
  await one.write(fd, "kept");
  await one.call("lock", fd, F_SETLK, F_WRLCK, 0, 0);
  const other = await two.open(harness.path("f"), O_RDWR);
  const waiting = refuses(two.call("lock", other, F_SETLKW, F_WRLCK, 0, 0), "ECONNABORTED");
  await two.asleepIn("fcntl");
  await harness.mount.killServing();
  await waiting;
  await refuses(one.fstat(fd), "ENOTCONN");
  await eventually("it is mounted anew", () =>
    two.text(harness.path("f")).then(
      (text) => text === "kept",
      () => false,
    ),
  );
  const again = await two.open(harness.path("f"), O_RDWR);
  await two.call("lock", again, F_SETLK, F_WRLCK, 0, 0);
  t.match(harness.mount.said, "cannot be taken over; it is mounted anew");
  await one.end();
  await two.end();
  await harness.mount.stop();
});

t.test("one that dies again and again is given up, and programs get errors", options, async (t) => {
  const harness = await start(t);
  const program = harness.program();
  const fd = await program.open(harness.path("f"), O_RDWR | O_CREAT);
  // None lives until it is ready.
  while (harness.mount.running) {
    if (harness.mount.pid !== 0) await harness.mount.killServing();
    await sleep(5);
  }
  await refuses(program.write(fd, "lost"), "ENOTCONN");
  t.match(harness.mount.said, "giving the mount up");
  await harness.mount.serve();
  t.ok(await harness.program().exists(harness.path("f")));
});

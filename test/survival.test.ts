/** What a kernel or a program may do to a server that has to live on: the kernel binding. */
import { constants, existsSync, readFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { equal, ok } from "node:assert/strict";
import t from "tap";
import { pattern, refuses, waits } from "./suite/expect.ts";
import { F_SETLK, F_SETLKW, F_WRLCK } from "./suite/linux.ts";
import { Harness, needs } from "./system/harness.ts";

const timeout = 240_000;
t.setTimeout(timeout);

const fileCount = 12_500;
const connections = "/sys/fs/fuse/connections";

await t.test("kernel binding", needs("kernel", timeout), async (t) => {
  const harness = await Harness.start(t, { binding: "kernel" });
  const program = harness.program();

  await t.test("unknown ioctls are ENOTTY", async (t) => {
    await program.writeFile(harness.path("f"), "content");
    const fd = await program.open(harness.path("f"), constants.O_RDWR);
    // TCGETS, FS_IOC_GETFLAGS, FIGETBSZ's neighbour, and one of every direction and size.
    for (const command of [0x5401, 0x8008_6601, 0x0099, 0x4004_7a01, 0x8004_7a02, 0xffff_7a03]) {
      const call = program.call("ioctl", fd, command, Buffer.alloc(16_384));
      await refuses(call, "ENOTTY");
    }
    equal(await program.text(harness.path("f")), "content");
    t.pass();
  });

  await t.test(
    "programs that are killed in the middle of requests leave nothing behind",
    async (t) => {
      for (let round = 0; round < 10; round++) {
        const path = harness.path(`killed-${round}`);
        const busy = harness.program();
        await busy.writeFile(path, "");
        const calls = Array.from({ length: 200 }, (_, i) =>
          busy.call("write_file", path, pattern(20_000, i)).catch(() => undefined),
        );
        await calls[round * 7];
        await busy.end();
        await Promise.all(calls);
        // The file is one of those that were written, or a cut one: but whole in itself.
        const bytes = await program.readFile(path);
        equal(bytes.length, (await program.stat(path)).size);
        await program.unlink(path);
      }
      ok(harness.mount.running);
      t.pass();
    },
  );

  await t.test("signals in the middle of requests", async (t) => {
    const path = harness.path("signalled");
    const busy = harness.program();
    await busy.writeFile(path, pattern(300_000));
    const calls = Promise.allSettled(
      Array.from({ length: 100 }, (_, i) =>
        i % 2 === 0 ? busy.readFile(path) : busy.call("write_file", path, pattern(300_000)),
      ),
    );
    while (await waits(calls)) {
      busy.signal("SIGUSR1");
      await program.stat(path);
    }
    for (const result of await calls) {
      if (result.status === "rejected") equal((result.reason as { code: string }).code, "EINTR");
    }
    await busy.end();
    await program.writeFile(path, "afterwards");
    equal(await program.text(path), "afterwards");
    ok(harness.mount.running);
    t.pass();
  });
});

await t.test("memory", needs("kernel", timeout), async (t) => {
  // Caches are bounded by numbers larger than this test's; here nothing may grow with each look at a file.
  await t.test("does not grow with the number of looks at files", async (t) => {
    const harness = await Harness.start(t, { binding: "kernel" });
    const program = harness.program();
    const directory = harness.path("many");
    await program.mkdir(directory);
    await program.call("make_files", directory, "f", fileCount);
    const sizes: number[] = [];
    for (let round = 0; round < 10; round++) {
      await program.call("look_at_files", directory, "f", fileCount);
      await program.call("drop_caches");
      sizes.push(residentKib(harness.mount.pid));
    }
    t.comment(`resident after each ${fileCount} looks: ${sizes.join(", ")} KiB`);
    // The allowance is 200 bytes for each look in the last seven rounds.
    ok(sizes.at(-1)! - sizes[2]! < (7 * fileCount * 200) / 1024, "grew");
    t.pass();
  });
});

/** Memory of a process that is not shared with the page cache, KiB. */
function residentKib(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  return Number(/RssAnon:\s+(\d+)/.exec(status)![1]);
}

await t.test("an aborted connection", needs("kernel", timeout), async (t) => {
  if (!existsSync(`${connections}/`) || spawnSync("mountpoint", ["-q", connections]).status !== 0) {
    spawnSync("mount", ["-t", "fusectl", "none", connections]);
  }
  const harness = await Harness.start(t, { binding: "kernel" });
  const [one, two] = [harness.program(), harness.program()];
  const fd = await one.open(harness.path("f"), constants.O_RDWR | constants.O_CREAT);
  await one.write(fd, "answered");
  await one.call("lock", fd, F_SETLK, F_WRLCK, 0, 0);
  const other = await two.open(harness.path("f"), constants.O_RDWR);
  const waiting = refuses(two.call("lock", other, F_SETLKW, F_WRLCK, 0, 0), "ECONNABORTED");
  await two.asleepIn("fcntl");
  await harness
    .program()
    .call("write_file", `${connections}/${harness.mount.connection()}/abort`, "1");
  await waiting;
  await refuses(two.fstat(other), "ENOTCONN");
  await harness.mount.ended();
  await harness.mount.serve();
  equal(await harness.program().text(harness.path("f")), "answered");
  t.pass();
});

await t.test("umount -l while files are open", needs("kernel", timeout), async (t) => {
  const harness = await Harness.start(t, { binding: "kernel" });
  const program = harness.program();
  const fd = await program.open(harness.path("f"), constants.O_RDWR | constants.O_CREAT);
  await program.write(fd, "before ");
  equal(spawnSync("umount", ["-l", harness.mount.mountpoint], { timeout: 30_000 }).status, 0);
  await program.write(fd, "and after");
  equal((await program.pread(fd, 100, 0)).toString(), "before and after");
  ok(harness.mount.running);
  await program.close(fd);
  await harness.mount.ended();
  await harness.mount.serve();
  equal(await harness.program().text(harness.path("f")), "before and after");
  t.pass();
});

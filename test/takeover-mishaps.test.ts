/** Processes that die or hang at bad moments, over real mounts: what their keeper, a successor and programs make of it. */
import { spawnSync } from "node:child_process";
import { constants, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import t from "tap";
import { findMount } from "../fs/kernel/mount-command.ts";
import { isStuck } from "../fs/takeover/stuck.ts";
import { whyNoAbort } from "./kernel-mounted.ts";
import type { TestContext } from "./suite/run.ts";
import { hangs } from "./system/hanging.ts";
import { eventually, Harness, needs } from "./system/harness.ts";
import type { Mishap } from "./system/mishaps.ts";
import { isAlive } from "./system/mount.ts";

const { O_RDWR, O_CREAT } = constants;
const POSIX_FADV_DONTNEED = 4;
t.setTimeout(240_000);
const options = needs("kernel", 120_000);
const noAbort = await whyNoAbort();
const withAbort = noAbort === false ? options : { ...options, skip: noAbort };
const preload = fileURLToPath(new URL("./system/mishaps.js", import.meta.url));

interface Scene {
  readonly harness: Harness;
  readonly begin: (mishap: Mishap) => void;
  readonly end: (mishap: Mishap) => void;
  readonly happens: (mishap: Mishap) => boolean;
}

async function start(t: TestContext, env: Record<string, string> = {}): Promise<Scene> {
  const directory = mkdtempSync(join(tmpdir(), "onespool-mishaps-"));
  Object.assign(process.env, env, { ONESPOOL_TEST_MISHAPS: directory });
  t.teardown(() => {
    for (const name of [...Object.keys(env), "ONESPOOL_TEST_MISHAPS"]) delete process.env[name];
    rmSync(directory, { recursive: true, force: true });
  });
  const nodeOptions = ["--import", preload];
  return {
    harness: await Harness.start(t, { binding: "kernel", nodeOptions }),
    begin: (mishap) => writeFileSync(join(directory, mishap), ""),
    end: (mishap) => rmSync(join(directory, mishap)),
    happens: (mishap) => existsSync(join(directory, mishap)),
  };
}

function isMounted({ mount }: Harness): boolean {
  return findMount(readFileSync("/proc/self/mountinfo", "utf8"), mount.mountpoint) !== undefined;
}

/** A file that a program has open, of whose bytes the kernel has none. */
async function openUnread(harness: Harness) {
  const program = harness.program();
  const fd = await program.open(harness.path("f"), O_RDWR | O_CREAT);
  await program.write(fd, Buffer.alloc(100_000, "x"));
  await program.call("os.posix_fadvise", fd, 0, 0, POSIX_FADV_DONTNEED);
  await program.call("os.lseek", fd, 0, 0);
  return { program, fd };
}

t.test(
  "killed before it has answered the first request: nothing stays mounted",
  options,
  async (t) => {
    const { harness, begin, happens } = await start(t);
    await harness.mount.stop();
    begin("death at init");
    await t.rejects(harness.mount.serve(), /ended before it was ready/);
    t.notOk(happens("death at init"));
    t.notOk(isMounted(harness));
  },
);

t.test("killed while it replaces a mount: the next one does", options, async (t) => {
  const { harness, begin, happens } = await start(t, { ONESPOOL_WITHOUT_RESEND: "1" });
  const program = harness.program();
  await program.writeFile(harness.path("f"), "kept");
  for (const mishap of ["death before mount", "death at init"] as const) {
    begin(mishap);
    await harness.mount.killServing();
    await eventually("it is mounted anew", () =>
      program.text(harness.path("f")).then(
        (text) => text === "kept",
        () => false,
      ),
    );
    t.notOk(happens(mishap));
    // Not one in a row of quick deaths.
    await sleep(600);
  }
  await harness.mount.stop();
});

t.test("a takeover that fails leaves everything to the next one", options, async (t) => {
  const { harness, begin, happens } = await start(t);
  const program = harness.program();
  const fd = await program.open(harness.path("f"), O_RDWR | O_CREAT);
  await program.write(fd, "content");
  await program.unlink(harness.path("f"));
  const hints = await harness.hints(program);
  const [unit] = (await hints.request({ op: "write" }, Buffer.from("unit")))["units"] as string[];
  begin("no table");
  await harness.mount.killServing();
  t.equal((await program.pread(fd, 100, 0)).toString(), "content");
  t.same(await hints.request({ op: "forget", units: [unit] }), { ok: true, forgotten: 1 });
  t.notOk(happens("no table"));
});

t.test(
  "a dead process that hangs in the kernel is freed by its successor",
  withAbort,
  async (t) => {
    const { harness, begin, end } = await start(t);
    const { program, fd } = await openUnread(harness);
    const hints = await harness.hints(harness.program());
    begin("lost reads");
    const reading = program.read(fd, 100_000);
    await program.asleepIn("read");
    const delivering = hints.deliver(Buffer.from("mail\n"), [{ path: "f" }]);
    const { pid } = harness.mount;
    await eventually("it waits for the kernel", async () => hangs(pid));
    end("lost reads");
    process.kill(pid, "SIGKILL");
    await eventually("it hangs", async () => isStuck(pid));
    t.equal((await reading).length, 100_000, "no error");
    t.same(await delivering, { ok: true, delivered: 1, pending: 0 });
    await eventually("it is gone", async () => !existsSync(`/proc/${pid}`));
    t.equal((await program.fstat(fd)).size, 100_005);
  },
);

t.test(
  "a detached mount that is given up is aborted, and dead processes that hang are freed",
  withAbort,
  async (t) => {
    const { harness, begin } = await start(t);
    const { program, fd } = await openUnread(harness);
    const hints = await harness.hints(harness.program());
    const { mount } = harness;
    const connection = `/sys/fs/fuse/connections/${mount.connection()}`;
    t.teardown(() => {
      if (existsSync(connection)) writeFileSync(`${connection}/abort`, "1");
    });
    begin("lost reads");
    const reading = program.read(fd, 100_000).catch((error: unknown) => error);
    await program.asleepIn("read");
    const delivering = hints.deliver(Buffer.from("mail\n"), [{ path: "f" }]).catch(() => "lost");
    await eventually("it waits for the kernel", async () => hangs(mount.pid));
    t.equal(spawnSync("umount", ["-i", "-l", mount.mountpoint]).status, 0);
    const dead = new Set<number>();
    while (mount.running) {
      const { pid } = mount;
      if (pid !== 0 && !dead.has(pid)) {
        dead.add(pid);
        process.kill(pid, "SIGKILL");
      }
      await sleep(20);
    }
    t.match(await reading, { code: /^(ECONNABORTED|ENOTCONN)$/ });
    await delivering;
    t.match(mount.said, "giving the mount up");
    await eventually("all are gone", async () => ![...dead].some((pid) => isAlive(pid)));
    await eventually("none hangs", async () => ![...dead].some((pid) => isStuck(pid)));
    await program.end();
  },
);

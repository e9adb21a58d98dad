/** A process that is killed while it tells the kernel of a change, which waits for a READ that it has not answered. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import { breakLocks, isStuck, watchStuck } from "../fs/takeover/stuck.ts";
import { abortMount } from "../fs/kernel/mount-command.ts";
import { TestMount, run, whyNoAbort } from "./kernel-mounted.ts";
import { hangs } from "./system/hanging.ts";

t.setTimeout(120_000);
const skip = await whyNoAbort();

t.test(
  "a killed process that hangs in the kernel is told from one that is gone",
  { skip },
  async (t) => {
    const mount = new TestMount({}, "ignore");
    t.teardown(() => mount.clean());
    t.same(await mount.started(), { is: "mounted" });
    await mount.tell({ do: "put", name: "f", text: "abc" });
    await mount.tell({ do: "slow", name: "f" });
    const reading = mount.sh("cat f");
    while ((await mount.state()).slowReads === 0);
    void mount.tell({ do: "append", name: "f", text: "def" });
    t.equal((await mount.sh("echo other > g; cat g")).output, "other\n");
    // The thread that tells the kernel may be slower than all that.
    while (!hangs(mount.pid)) await sleep(20);
    t.notOk(isStuck(mount.pid), "as long as it lives");

    const store = mkdtempSync(join(tmpdir(), "onespool-stuck-"));
    t.teardown(() => rmSync(store, { recursive: true, force: true }));
    mkdirSync(join(store, "index"));
    for (const file of ["lock", "index/LOCK"]) writeFileSync(join(store, file), "");
    t.notOk(breakLocks(store, mount.pid), "its locks count");
    t.ok(existsSync(join(store, "lock")));

    process.kill(mount.pid, "SIGKILL");
    await new Promise<void>((stuck) => watchStuck(mount.pid, stuck));
    t.ok(isStuck(mount.pid));
    t.ok(breakLocks(store, mount.pid));
    t.notOk(existsSync(join(store, "lock")) || existsSync(join(store, "index/LOCK")));

    t.notOk(abortMount(store), "nothing is mounted there");
    t.ok(abortMount(mount.directory));
    await mount.exited;
    t.notOk(isStuck(mount.pid), "gone");
    t.not((await reading).code, 0);
    t.equal((await run(["true"])).code, 0);
  },
);

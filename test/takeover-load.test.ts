/**
 * kill -9 of the process that serves a mount, again and again under load. Programs keep their open files, locks and
 * conversations; none of them sees an error, a byte too many or too few, or a message twice.
 */
import { deepEqual, equal } from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import { checkStore } from "../fs/store/check.ts";
import { Store } from "../fs/store/store.ts";
import { QUICK_DEATHS_MAX } from "../fs/takeover/kept.ts";
import { Harness, needs } from "./system/harness.ts";
import { runScript } from "./system/scripts.ts";

const isLong = process.env["ONESPOOL_LONG"] === "1";
const kills = isLong ? 200 : 8;
const timeout = isLong ? 1_800_000 : 180_000;
/** A machine may be so fast that each life is a short one, and after QUICK_DEATHS_MAX of those nobody waits any longer. */
const LONG_LIFE_MS = 600;
t.setTimeout(timeout);

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
t.comment(`seed ${seed}: SEED=${seed} node dist/test/takeover-load.test.js kills alike`);

const programs = [
  ["append"],
  ["append-sync"],
  ["change"],
  ["unlinked"],
  ["names"],
  ["names"],
  ["fcntl", "counted"],
  ["fcntl", "counted"],
  ["flock", "flocked"],
  ["flock", "flocked"],
  ["listing"],
  ["reading"],
  ["deliver"],
  ["deliver"],
] as const;

interface Told {
  readonly added?: number;
  readonly delivered?: readonly (readonly [string, readonly string[]])[];
}

await t.test("no program notices", needs("kernel", timeout), async (t) => {
  const harness = await Harness.start(t, { binding: "kernel" });
  const directory = mkdtempSync(join(tmpdir(), "onespool-stop-"));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const stop = join(directory, "stop");
  const dots = programs.map(() => 0);
  const scripts = programs.map(([kind, file = ""], i) => {
    const args = [kind, harness.mount.mountpoint, `${kind}-${i}-${seed}`, stop, file];
    return runScript("unbroken.py", args, (text) => (dots[i]! += text.split(".").length - 1));
  });
  t.teardown(() => scripts.forEach(({ child }) => child.kill("SIGKILL")));
  const failed = Promise.race(
    scripts.map(async ({ ended }) => {
      const { errors } = await ended;
      if (errors !== "" || !existsSync(stop)) throw new Error(errors || "a program has ended");
    }),
  );
  failed.catch(() => undefined);

  let random = seed;
  for (let kill = 0; kill < kills; kill++) {
    // Every program has come on, so the successor serves them all.
    const before = [...dots];
    const deadline = Date.now() + 60_000;
    while (dots.some((count, i) => count === before[i])) {
      await Promise.race([sleep(10), failed]);
      if (Date.now() > deadline) {
        const stuck = programs.filter((_, i) => dots[i] === before[i]);
        throw new Error(`after kill ${kill} these do not come on: ${stuck.join(" ")}`);
      }
    }
    random = (random * 1_103_515_245 + 12_345) % 2 ** 31;
    const isLongLife = kill % (QUICK_DEATHS_MAX - 1) === 0;
    await Promise.race([sleep((random % 200) + (isLongLife ? LONG_LIFE_MS : 0)), failed]);
    await harness.mount.killServing();
  }
  writeFileSync(stop, "");
  const ends = await Promise.all(scripts.map(({ ended }) => ended));
  equal(ends.map(({ errors }) => errors).join(""), "");

  const told = ends.map(({ output }) => {
    const last = output.trimEnd().split("\n").at(-1) ?? "";
    return (last.startsWith("{") ? JSON.parse(last) : {}) as Told;
  });
  const program = harness.program();
  for (const file of ["counted", "flocked"]) {
    let sum = 0;
    for (const [i, [, name]] of programs.entries()) if (name === file) sum += told[i]!.added ?? 0;
    equal(Number(await program.text(harness.path(file))), sum, `${file}: every addition once`);
  }
  const delivered = told.flatMap((one) => one.delivered ?? []);
  for (const box of ["box-0", "box-1", "box-2", "box-3"]) {
    const text = await program.text(harness.path(box));
    const found = [...text.matchAll(/<(deliver-[0-9-]+)s*>\n/g)].map(([, name]) => name!);
    const wanted = delivered.filter(([, boxes]) => boxes.includes(box)).map(([name]) => name);
    deepEqual(found.sort(), wanted.sort(), `${box}: every message once`);
  }
  t.comment(`${delivered.length} deliveries, ${kills} kills`);
  await program.end();
  await harness.mount.stop();
  const store = await Store.open(harness.mount.store);
  deepEqual(store.orphans(), [], "what was unlinked is gone");
  await store.close();
  const { problems } = await checkStore(harness.mount.store);
  deepEqual(problems, []);
  t.pass();
});

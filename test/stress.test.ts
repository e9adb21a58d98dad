/**
 * 50,000 operations from 16 processes at once. Each process knows what its own directory has to hold; the
 * script proves itself on a plain directory first.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import type { TestContext } from "./suite/run.ts";
import { Harness, needs } from "./system/harness.ts";
import { bindings } from "./system/mount.ts";
import { runScript } from "./system/scripts.ts";

const timeout = 300_000;
t.setTimeout(3 * timeout);

const processCount = 16;
const operationCount = 50_000;

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
t.comment(`seed ${seed}: SEED=${seed} node dist/test/stress.test.js repeats this run`);

async function stress(
  t: TestContext,
  directory: string,
  count: number,
  ...options: readonly string[]
): Promise<void> {
  const scripts = Array.from({ length: processCount }, (_, i) =>
    runScript("stress.py", [
      join(directory, `process-${i}`),
      String(seed + i),
      String(Math.ceil(count / processCount)),
      ...options,
    ]),
  );
  t.teardown(() => scripts.map(({ child }) => child.kill("SIGKILL")));
  const ends = await Promise.all(scripts.map(({ ended }) => ended));
  t.equal(ends.map(({ errors }) => errors).join(""), "");
  t.same(
    ends.map(({ code }) => code),
    Array.from({ length: processCount }, () => 0),
  );
}

await t.test("a plain directory", { timeout }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "onespool-stress-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  await stress(t, directory, operationCount / 10);
});

for (const binding of bindings) {
  await t.test(binding, needs(binding, timeout), async (t) => {
    const harness = await Harness.start(t, { binding });
    // To libfuse 2 each name of a file is a file of its own: a second name sees an old link count.
    const options = binding === "fuse-native" ? ["without-links"] : [];
    await stress(t, harness.mount.mountpoint, operationCount, ...options);
    t.ok(harness.mount.running, "the server lives");
    await harness.mount.stop();
  });
}

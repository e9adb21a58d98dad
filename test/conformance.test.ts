/** The conformance suite on a plain directory, which proves the suite, and on both bindings. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { groupTimeoutMs, runGroup, type Skips, type TestContext } from "./suite/run.ts";
import { skips } from "./suite/skips.ts";
import { groups, rootGroups } from "./suite/suite.ts";
import { bindings, missing, ServedMount } from "./system/mount.ts";

t.setTimeout(groupTimeoutMs);

const root = process.getuid!() === 0;
/** Groups to run, with commas: for work on one of them. */
const only = process.env["ONESPOOL_SUITE"]?.split(",");

async function runAll(t: TestContext, directory: string, skips: Skips): Promise<void> {
  const options = { timeout: groupTimeoutMs };
  for (const [name, cases] of [...groups, ...rootGroups]) {
    if (only !== undefined && !only.includes(name)) continue;
    const skip = rootGroups.has(name) && !root ? { skip: "only root can become two users" } : {};
    await t.test(name, { ...options, ...skip }, (t) =>
      runGroup(t, cases, join(directory, name), skips),
    );
  }
}

await t.test("a plain directory", { timeout: groupTimeoutMs }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "onespool-suite-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  chmodSync(directory, 0o755);
  await runAll(t, directory, {});
});

for (const binding of bindings) {
  const reason = missing(binding);
  const options = { timeout: groupTimeoutMs, ...(reason === undefined ? {} : { skip: reason }) };
  await t.test(binding, options, async (t) => {
    const mount = await ServedMount.start({ binding });
    t.teardown(() => mount.end());
    await runAll(t, mount.mountpoint, skips[binding]);
    t.ok(mount.running, "the server lives");
    await mount.stop();
  });
}

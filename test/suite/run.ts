/** Runs the suite's cases as tests in one directory. */
import type t from "tap";
import { Place, ProgramPool, type Cases } from "./place.ts";

/** What a test's function gets. */
export type TestContext = Parameters<Parameters<typeof t.test>[0]>[0];

/** One reason for each case that a kind of mount cannot do. */
export type Skips = Readonly<Record<string, string>>;

const caseTimeoutMs = 120_000;
/** The runner's own limit of 30 s is for one test with all that is in it. */
export const groupTimeoutMs = 600_000;

export async function runGroup(
  t: TestContext,
  cases: Cases,
  directory: string,
  skips: Skips,
): Promise<void> {
  const pool = new ProgramPool();
  const keeper = pool.take();
  t.teardown(() => Promise.all([keeper.end(), pool.end()]));
  await keeper.call("os.makedirs", directory, 0o755);
  let number = 0;
  for (const [name, run] of Object.entries(cases)) {
    const reason = skips[name];
    if (reason !== undefined) {
      await t.test(name, { skip: reason }, () => undefined);
      continue;
    }
    await t.test(name, { timeout: caseTimeoutMs }, async (t) => {
      const place = new Place(`${directory}/${number++}`, pool);
      await keeper.mkdir(place.directory, 0o755);
      let failed = true;
      try {
        await run(place);
        failed = false;
        t.pass();
      } finally {
        await place.end(failed);
      }
      await keeper.call("remove_tree", place.directory);
    });
  }
}

/** The reporter: what a run of the tests says of a file that failed, and of one that did not. */
import { once } from "node:events";
import t from "tap";
import Reporter from "./reporter.ts";

function run(file: string, inner: readonly string[]): string {
  const isOk = !inner.some((line) => line.startsWith("not ok"));
  return [
    "TAP version 14",
    `# Subtest: ${file}`,
    ...inner.map((line) => `    ${line}`),
    "    1..1",
    `${isOk ? "ok" : "not ok"} 1 - ${file} # time=12ms`,
    "1..1",
    "# time=15ms",
    "",
  ].join("\n");
}

async function reported(tap: string): Promise<string> {
  const reporter = new Reporter();
  let text = "";
  reporter.on("data", (chunk: Buffer) => (text += chunk.toString()));
  reporter.end(tap);
  await once(reporter, "end");
  return text;
}

t.test("a file that failed says what repeats it", async (t) => {
  const text = await reported(
    run("bad.test.js", ["# seed 7", "not ok 1 - it holds", "# time=3ms"]),
  );
  t.match(text, /^FAILED {2}bad\.test\.js {2}0 passed, 1 failed/);
  t.match(text, "not ok: it holds");
  t.match(text, /what it said:\n +seed 7\n/);
  t.notMatch(text, "time=");
  t.match(text, /\n0 passed, 1 failed, 0 skipped\n$/);
});

t.test("one that passed says nothing of itself", async (t) => {
  const text = await reported(run("good.test.js", ["# seed 7", "ok 1 - it holds"]));
  t.match(text, /^ok {6}good\.test\.js {2}1 passed {2}\(/);
  t.notMatch(text, "seed");
});

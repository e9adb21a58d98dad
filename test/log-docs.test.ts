import t from "tap";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { COMMIT_SECONDS, COUNTERS, GAUGES } from "../server/metrics/families.ts";
import { replies } from "../server/smtp/replies.ts";

/** From the directory that holds dist/. */
function page(name: string): string {
  return readFileSync(resolve(import.meta.dirname, "../../docs", name), "utf8");
}

t.test("docs/LOGS.md has every reason word with its reply, and no other", (t) => {
  const documented = page("LOGS.md").matchAll(/^\| `(\w+)` \| (\d{3}) ([\d.]+) \| .+ \|$/gm);
  const rows = Array.from(documented, ([, word, code, enhanced]) => `${word} ${code} ${enhanced}`);
  const expected = Object.entries(replies).map(
    ([word, { code, text }]) => `${word} ${code} ${text.split(" ")[0]}`,
  );
  t.same(rows.toSorted(), expected.toSorted());
  t.end();
});

t.test("docs/METRICS.md has every metric with its label, and no other", (t) => {
  const documented = page("METRICS.md").matchAll(
    /^\| `(onespool_\w+)` \| (?:`(\w+)`)? ?\| .+ \|$/gm,
  );
  const rows = Array.from(documented, ([, name, label]) => `${name} ${label}`);
  const families = Object.entries({ ...COUNTERS, ...GAUGES });
  const expected = families.map(([name, { label }]) => `${name} ${label}`);
  t.same(rows.toSorted(), [...expected, `${COMMIT_SECONDS.name} le`].toSorted());
  t.end();
});

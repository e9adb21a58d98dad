/** docs/RELIABILITY.md names tests that are there. */
import { existsSync, readFileSync } from "node:fs";
import t from "tap";
import { sourcePath } from "./system/source.ts";

const text = readFileSync(sourcePath("docs/RELIABILITY.md"), "utf8");

/** A test's file, and the names of parts of it. */
const NAMED = /`([a-z0-9-]+)`((?:[^`|\n]*?"[^"\n]+")*)/g;
const QUOTED = /"([^"\n]+)"/g;

function rows(): string[] {
  return text.split("\n").filter((line) => line.startsWith("| ") && !line.startsWith("| ---"));
}

t.test("every test that is named is there, and so is its part", async (t) => {
  let count = 0;
  for (const row of rows()) {
    const [promise = "", holders = ""] = row.split(" | ");
    for (const [, name = "", parts = ""] of holders.matchAll(NAMED)) {
      // A program or an option of the system, not one of ours.
      if (name.startsWith("dm-")) continue;
      const path = sourcePath(`test/${name}.test.ts`);
      if (!t.ok(existsSync(path), `${name}, of: ${promise}`)) continue;
      const source = readFileSync(path, "utf8");
      for (const [, part = ""] of parts.matchAll(QUOTED)) {
        t.ok(source.includes(part), `"${part}" in ${name}`);
        count++;
      }
    }
  }
  t.ok(count > 30, `${count} parts are named`);
});

t.test("no promise is without a test", async (t) => {
  const [promises = ""] = text.split("\n## What these machines cannot show");
  for (const row of promises.split("\n").filter((line) => line.startsWith("| "))) {
    if (/^\| (?:---|promise)/.test(row)) continue;
    const holders = row.split(" | ").at(-1) ?? "";
    t.match(holders, /`[a-z0-9-]+`/, row.slice(0, 80));
  }
});

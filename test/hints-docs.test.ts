/** docs/HINTS.md says what the code does. */
import { readFileSync } from "node:fs";
import t from "tap";
import { errnoName } from "../base/errno.ts";
import { pendingLimits } from "../fs/delivery/pending-limits.ts";
import { IOCTL_BYTES_MAX } from "../fs/hints/ioctl.ts";
import * as limits from "../fs/hints/limits.ts";
import type { Reason } from "../fs/hints/refusals.ts";
import { allReasons, messageOf } from "../fs/hints/refusals.ts";
import { sourcePath } from "./system/source.ts";

const text = readFileSync(sourcePath("docs/HINTS.md"), "utf8");

function section(title: string): string {
  return text.split(`\n## ${title}\n`)[1]?.split("\n## ")[0] ?? "";
}

t.test("every refusal is in the reference, with its errno and its message", async (t) => {
  const rows = section("Refusals")
    .split("\n")
    .filter((line) => line.startsWith("| `"));
  const wanted = allReasons().map(
    ([reason, errno]) =>
      `| \`${reason}\` | ${errnoName(errno)} | ${messageOf({ reason: reason as Reason })} |`,
  );
  t.strictSame(rows, wanted);
});

t.test("every limit is in the reference", async (t) => {
  const { HINT_VERSION, ...numbers } = limits;
  t.match(text, `version ${HINT_VERSION} of the protocol`);
  const table = section("Limits");
  const all = { ...numbers, ...pendingLimits, IOCTL_BYTES_MAX };
  for (const [name, value] of Object.entries(all)) {
    t.ok(table.includes(value.toLocaleString("en")), `${name} = ${value}`);
  }
});

import t from "tap";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimes } from "../cli/import/times.ts";

t.setTimeout(60_000);

const directory = mkdtempSync(join(tmpdir(), "onespool-test-times-"));
const statusFile = join(directory, "status");
// In front of the real one, which it runs where it has no status to end with.
const touch = `#!/bin/sh
status=$(cat ${statusFile}) || exit 99
[ "$status" = real ] || exit "$status"
PATH=\${PATH#*:} exec touch "$@"
`;
const bin = mkdtempSync(join(directory, "bin-"));
writeFileSync(join(bin, "touch"), touch);
chmodSync(join(bin, "touch"), 0o755);
process.env["PATH"] = `${bin}:${process.env["PATH"]}`;
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

const times = { atimeNs: 1_500_000_000_123_456_789n, mtimeNs: 1_400_000_000_987_654_321n };

t.test("times are exact, or the file is left out and touch's status named", async (t) => {
  const file = await open(join(directory, "mailbox"), "w");
  t.teardown(() => file.close());
  const found = async (): Promise<object> => {
    const { atimeNs, mtimeNs } = await file.stat({ bigint: true });
    return { atimeNs, mtimeNs };
  };
  writeFileSync(statusFile, "real");
  await setTimes(file, times);
  t.strictSame(await found(), times);

  writeFileSync(statusFile, "1");
  const message = "touch(1) could not set its times (exit status 1)";
  await t.rejects(setTimes(file, { ...times, mtimeNs: 5n }), { reason: "failed", message });

  // As a shell says that there is no such program.
  writeFileSync(statusFile, "127");
  await setTimes(file, times);
  const { mtimeNs } = await file.stat({ bigint: true });
  const away = mtimeNs - times.mtimeNs;
  t.ok(away !== 0n && away < 1_000n && away > -1_000n, "as Node can set them");

  writeFileSync(statusFile, "real");
  await setTimes(file, times);
  t.strictSame(await found(), times, "an answer is that of its own file");
});

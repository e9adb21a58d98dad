/** The supervisor opens the log as root: a link in its place must lead nowhere. */
import { mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { LogDestination } from "../server/log/destination.ts";

const directory = mkdtempSync(join(tmpdir(), "onespool-log-links-"));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const file = join(directory, "log");
const victim = join(directory, "victim");

t.test("a log that is a link is not opened, nor made where it leads", (t) => {
  symlinkSync(victim, file);
  t.throws(() => new LogDestination(file), { message: `${file} is a symbolic link` });
  t.throws(() => readFileSync(victim), { code: "ENOENT" });
  rmSync(file);
  t.end();
});

t.test("a log that became a link is not opened anew, and goes on where it was", (t) => {
  writeFileSync(victim, "mine\n");
  const log = new LogDestination(file);
  log.write("one\n");
  log.flush();
  renameSync(file, `${file}.1`);
  symlinkSync(victim, file);
  t.throws(() => log.reopen(file), { message: `${file} is a symbolic link` });
  log.write("two\n");
  log.flush();
  t.equal(readFileSync(`${file}.1`, "utf8"), "one\ntwo\n");
  t.equal(readFileSync(victim, "utf8"), "mine\n");
  t.end();
});

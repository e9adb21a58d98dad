import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { onespool } from "./cli-process.ts";

const directory = mkdtempSync(join(tmpdir(), "onespool-check-config-"));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const file = join(directory, "server.toml");
const recipients = '[recipients]\ndomains = ["example.test"]\nusers = ["alice"]\n';
// Root is warned about the default account.
const isRoot = process.getuid?.() === 0;
const good = `${isRoot ? 'user = "daemon"' : ""}\n${recipients}`;

t.test("a good configuration is fine", async (t) => {
  writeFileSync(file, good);
  t.strictSame(await onespool("check-config", file), {
    code: 0,
    stdout: `${file}: fine\n`,
    stderr: "",
  });
});

t.test("without a file the embedded default is checked", async (t) => {
  t.match(await onespool("check-config"), { code: 0, stdout: "the embedded default: fine\n" });
});

t.test("what is wrong ends with 1 and a line for each problem", async (t) => {
  writeFileSync(file, `${good}[limits]\nrecipients_max = "many"\nmessages = 1\n`);
  t.strictSame(await onespool("check-config", file), {
    code: 1,
    stdout: "",
    stderr: `onespool: ${file}:6: limits.recipients_max: must be a whole number from 1 to 10000, not "many"
onespool: ${file}:7: limits.messages: no such key; did you mean messages_max?
`,
  });
  const missing = join(directory, "missing.toml");
  t.strictSame(await onespool("check-config", missing), {
    code: 1,
    stdout: "",
    stderr: `onespool: ${missing}: no such file\n`,
  });
});

t.test("warnings do not fail", async (t) => {
  writeFileSync(file, `${good}[limits]\nrecipients_max = 1\n`);
  t.match(await onespool("check-config", file), {
    code: 0,
    stdout: `${file}: fine\n`,
    stderr: `onespool: warning: ${file}:6: limits.recipients_max: RFC 5321`,
  });
});

t.test("what --print prints is a configuration with all settings", async (t) => {
  writeFileSync(file, `${good}catch_all = "alice"\n`);
  const printed = await onespool("check-config", "--print", file);
  t.equal(printed.code, 0);
  t.match(printed.stdout, /^\[limits\]\n(?:.*\n)*recipients_max = 2000$/m);
  t.match(printed.stdout, 'catch_all = "alice"');
  writeFileSync(file, printed.stdout);
  const again = await onespool("check-config", "--print", file);
  t.equal(again.stdout, printed.stdout);
});

t.test("two files are wrong usage", async (t) => {
  t.match(await onespool("check-config", "a", "b"), { code: 2, stdout: "" });
});

t.test("the help shows an example and names the reference", async (t) => {
  const { code, stdout } = await onespool("check-config", "--help");
  t.equal(code, 0);
  t.match(stdout, "Usage: onespool check-config ");
  t.match(stdout, "$ onespool check-config /etc/onespool.toml");
  t.match(stdout, "docs/CONFIG.md");
});

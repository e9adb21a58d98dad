/** Users that tests make are gone behind them: test/system/accounts.ts, mail-users.ts. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import type { TestContext } from "./suite/run.ts";
import { missingProgram, prepared } from "./system/command.ts";
import { eventually } from "./system/harness.ts";
import { MailUsers } from "./system/mail-users.ts";

const reason =
  process.getuid!() === 0
    ? missingProgram("useradd", "userdel", "setpriv", "ps", "xargs")
    : "making users needs root";
const options = reason === undefined ? { timeout: 90_000 } : { skip: reason };

const isThere = (name: string): boolean =>
  ["/etc/passwd", "/etc/group"].some((file) =>
    `\n${readFileSync(file, "utf8")}`.includes(`\n${name}:`),
  );

function newDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "onespool-accounts-"));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

t.test("a user is removed with the processes that run as it", options, async (t) => {
  const users = MailUsers.make(1, newDirectory(t));
  const [user] = users.users;
  const [program, ...args] = prepared(["sh", "-c", "echo; exec sleep 60"], { user: user!.name });
  const child = spawn(program!, args, { stdio: ["ignore", "pipe", "ignore"] });
  const exited = once(child, "exit");
  await once(child.stdout, "data");
  t.ok(isThere(user!.name));
  users.remove();
  t.strictSame(await exited, [null, "SIGKILL"]);
  t.notOk(isThere(user!.name));
});

t.test("users are gone when the test that made them was killed", options, async (t) => {
  const module = new URL("./system/mail-users.js", import.meta.url).href;
  const script = `
    const { MailUsers } = await import(${JSON.stringify(module)});
    const { users } = MailUsers.make(2, ${JSON.stringify(newDirectory(t))});
    console.log(users.map(({ name }) => name).join());
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.teardown(() => child.kill("SIGKILL"));
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  const names = String(said).trim().split(",");
  t.strictSame(names.map(isThere), [true, true]);
  child.kill("SIGKILL");
  await eventually("both are gone", async () => !names.some(isThere));
});

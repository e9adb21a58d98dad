/** What SIGHUP changes in a server that runs. */
import t from "tap";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { noKernelBinding } from "./cli-process.ts";
import { until, writeJson } from "./supervised.ts";
import { FRONT, logOf, readyTimes, serving, stop } from "./supervisor-scene.ts";

const skip = noKernelBinding();
t.setTimeout(120_000);

t.test("SIGHUP opens the log anew and gives the front what has changed", { skip }, async (t) => {
  const { directory, file, config, supervised } = await serving(t);
  const log = join(directory, "log");
  renameSync(log, `${log}.1`);
  const listen = [{ protocol: "lmtp", address: "127.0.0.1", port: 24 }];
  writeJson(file, { ...config, hostname: "new.example.test", listen });
  supervised.child.kill("SIGHUP");
  await until("the front has it", () => logOf(directory).includes("configuration reloaded"));
  const text = logOf(directory);
  t.match(text, '"hostname":"new.example.test","listen":[{"protocol":"smtp"');
  t.match(text, '"needRestart":["listen"],"msg":"only a restart changes these"');

  renameSync(log, `${log}.2`);
  writeFileSync(file, "not a configuration");
  supervised.child.kill("SIGHUP");
  await until("the front has it", () => logOf(directory).includes("opened anew"));
  await until("it is said", () => logOf(directory).includes("configuration kept as it was"));
  t.notMatch(logOf(directory), "configured", "nothing else is read again");
  t.notMatch(logOf(directory), "configuration reloaded");
  t.equal(await stop(supervised), 0);
});

t.test(
  "a reload that the front refuses is not what the next front begins with",
  { skip },
  async (t) => {
    const { directory, file, config, supervised } = await serving(t);
    writeJson(file, { ...config, hostname: "refused" });
    supervised.child.kill("SIGHUP");
    await until("it is refused", () => logOf(directory).includes('"problem":"aliases: no"'));
    const front = supervised.childWith(FRONT);
    process.kill(front, "SIGKILL");
    await readyTimes(directory, "front", 2);
    t.notMatch(logOf(directory), '"hostname":"refused"');
    t.equal(logOf(directory).split('"hostname":"mail.example.test"').length - 1, 2);
    t.equal(await stop(supervised), 0);
  },
);

t.test("a reload that ends the front is not repeated", { skip }, async (t) => {
  const { directory, file, config, supervised } = await serving(t);
  writeJson(file, { ...config, hostname: "deadly" });
  supervised.child.kill("SIGHUP");
  await readyTimes(directory, "front", 2);
  t.match(logOf(directory), '"problem":"the front ended over it"');
  t.equal(logOf(directory).split('"hostname":"mail.example.test"').length - 1, 2);
  t.equal(await stop(supervised), 0);
});

t.test("a reload while there is no front holds when there is one", { skip }, async (t) => {
  const { directory, file, config, supervised } = await serving(t);
  writeJson(file, { ...config, hostname: "new.example.test" });
  process.kill(supervised.childWith(FRONT), "SIGKILL");
  await until("the front is away", () => logOf(directory).includes("ended unasked"));
  supervised.child.kill("SIGHUP");
  await until("the new one has it", () => logOf(directory).includes("configuration reloaded"));
  t.match(logOf(directory), '"hostname":"new.example.test"');
  t.equal(await stop(supervised), 0);
});

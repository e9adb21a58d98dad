/** What becomes of the processes of a server, and of its mount, when one of them ends, fails, or is told to. */
import t from "tap";
import { constants, existsSync, readFileSync, statSync } from "node:fs";
import { constants as osConstants } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { QUICK_DEATHS_MAX } from "../fs/takeover/kept.ts";
import { noKernelBinding, servingProcess } from "./cli-process.ts";
import { Program } from "./suite/program.ts";
import {
  isMounted,
  isRunning,
  place,
  processesWith,
  Supervised,
  until,
  writeJson,
} from "./supervised.ts";
import {
  begin,
  configOf,
  FRONT,
  logOf,
  metricsOf,
  program,
  readyTimes,
  serving,
  servingAgain,
  SPOOL,
  stop,
  type Tap,
} from "./supervisor-scene.ts";

const skip = noKernelBinding();
/** flock(2) */
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;
t.setTimeout(240_000);

function childrenOf(supervised: Supervised): number[] {
  return [supervised.childWith(FRONT), supervised.childWith(SPOOL)];
}

/** proc_pid_status(5) */
function statusOf(pid: number): string {
  return readFileSync(`/proc/${pid}/status`, "latin1");
}

/** Whether SIGTERM waits for a process that stands still. */
function isTold(pid: number): boolean {
  const pending = BigInt(`0x${/^ShdPnd:\t([0-9a-f]+)$/m.exec(statusOf(pid))![1]}`);
  return ((pending >> BigInt(osConstants.signals.SIGTERM - 1)) & 1n) === 1n;
}

/** A program that has made a mailbox. */
async function userOf(t: Tap, mount: string): Promise<Program> {
  const user = new Program();
  t.teardown(async () => {
    await user.end();
  });
  await user.writeFile(`${mount}/mailbox`, "before");
  return user;
}

t.test(
  "it starts the spool, then the front, says so, and ends both in order",
  { skip },
  async (t) => {
    const { store, mount, directory, supervised } = await serving(t);
    t.match(
      supervised.stdout,
      new RegExp(
        `^${store} is mounted at ${mount} \\(kernel binding\\)\nlistening: smtp 127.0.0.1:2525\nmetrics: http://127.0.0.1:\\d+/metrics\nready\n$`,
      ),
    );
    t.ok(isMounted(mount));
    await until("the metrics have the front's numbers", async () =>
      (await metricsOf(supervised)).includes('onespool_connections_total{end="quit"} 1\n'),
    );
    const page = await metricsOf(supervised);
    t.match(page, 'onespool_connections_open{role="front"} 5\n');
    t.match(page, "onespool_pending_deliveries 3\n");
    t.match(page, "onespool_pending_oldest_seconds 4000\n");
    t.match(page, 'onespool_resident_bytes{process="supervisor"} ');
    const children = childrenOf(supervised);
    t.notOk(children.includes(0));
    t.equal(await stop(supervised), 0);
    t.notOk(isMounted(mount));
    t.notOk(children.some(isRunning));
    t.equal(supervised.stderr, "");
    t.match(logOf(directory), "deliveries wait for a lock that nobody releases");
    t.equal(statSync(join(directory, "log")).mode & 0o777, 0o640);
  },
);

t.test("a front that cannot start ends the server with its message", { skip }, async (t) => {
  const { mount, supervised } = begin(t, { hostname: "fails" });
  t.equal(await supervised.end(), 1);
  t.equal(supervised.stderr, "onespool: 127.0.0.1:25: permission denied\n");
  t.notOk(isMounted(mount));
  t.same(processesWith(mount), []);
});

t.test("a front that dies before it was ready ends the server", { skip }, async (t) => {
  const { mount, supervised } = begin(t, { hostname: "dies" });
  t.equal(await supervised.end(), 1);
  t.equal(
    supervised.stderr,
    "onespool: the front process ended before it was ready (exit code 7)\n",
  );
  t.notOk(isMounted(mount));
});

t.test(
  "a second server on the same store or mount is refused with the reason",
  { skip },
  async (t) => {
    const { directory, store, mount, file } = await serving(t);
    const same = new Supervised(t, program, [file, "0"]);
    t.equal(await same.end(), 1);
    t.equal(
      same.stderr.split("\n").at(-2),
      `onespool: ${mount}: ${store} is mounted there already`,
    );

    const other = place(t);
    const otherFile = join(directory, "other.json");
    writeJson(otherFile, configOf({ directory, store, mount: other.mount }));
    const second = new Supervised(t, program, [otherFile, "0"]);
    t.equal(await second.end(), 1);
    t.match(
      second.stderr.split("\n").at(-2),
      new RegExp(`^onespool: the store ${store} is in use by process \\d+`),
    );
    t.ok(isMounted(mount));
    t.notOk(isMounted(other.mount));
  },
);

t.test("a spool that cannot mount what it has opened ends the server", { skip }, async (t) => {
  const where = place(t);
  const file = join(where.directory, "config.json");
  writeJson(file, configOf(where));
  // mount(8) is not found.
  const supervised = new Supervised(t, program, [file, "0"], { env: { PATH: "/nowhere" } });
  t.equal(await supervised.end(), 1);
  t.match(supervised.stderr.split("\n").at(-2), /^onespool: .*mount/);
  t.same(processesWith(where.mount), []);
});

t.test("a port of the metrics that is taken is said by its address", { skip }, async (t) => {
  const { supervised } = await serving(t);
  const [, port] = /127\.0\.0\.1:(\d+)\/metrics/.exec(supervised.stdout) ?? [];
  const { supervised: second } = begin(t, {
    metrics: { address: "127.0.0.1", port: Number(port) },
  });
  t.equal(await second.end(), 1);
  t.match(second.stderr, `onespool: metrics: 127.0.0.1:${port}: the port is in use\n`);
});

t.test(
  "a front that was killed is started again, and no counter goes down",
  { skip },
  async (t) => {
    const { supervised } = await serving(t);
    const first = supervised.childWith(FRONT);
    process.kill(first, "SIGKILL");
    await until("a new front has counted", async () =>
      (await metricsOf(supervised)).includes('onespool_connections_total{end="quit"} 2\n'),
    );
    t.not(supervised.childWith(FRONT), first);
    const page = await metricsOf(supervised);
    t.match(page, 'onespool_restarts_total{process="front"} 1\n');
    t.match(page, 'onespool_connections_open{role="front"} 5\n');
    t.equal(await stop(supervised, "SIGINT"), 0);
  },
);

t.test("a spool that was killed is mounted again", { skip }, async (t) => {
  const { mount, directory, supervised } = await serving(t);
  const first = supervised.childWith(SPOOL);
  process.kill(first, "SIGKILL");
  await readyTimes(directory, "spool", 2);
  t.ok(isMounted(mount));
  t.not(supervised.childWith(SPOOL), first);
  t.equal(await stop(supervised), 0);
  t.notOk(isMounted(mount));
});

t.test("a spool that dies again and again is given up, and mounted anew", { skip }, async (t) => {
  const { mount, directory, supervised } = await serving(t);
  const user = await userOf(t, mount);
  const fd = await user.open(`${mount}/mailbox`);
  const deaths = (): number => logOf(directory).split('"ended unasked"').length - 1;
  const lost = new AbortController();
  const losing = (async () => {
    // It waits while nobody serves, and is answered where one has lived long enough.
    while (!lost.signal.aborted) {
      await user.call("os.fstatvfs", fd).catch(() => lost.abort());
      await sleep(20);
    }
  })();
  await until("it is given up", () => {
    try {
      process.kill(supervised.childWith(SPOOL) || Number.NaN, "SIGKILL");
    } catch {
      // There is none at the moment.
    }
    return lost.signal.aborted;
  });
  await losing;
  // Lines come into the log up to 200 ms later.
  await until("the log tells of the deaths", () => deaths() >= QUICK_DEATHS_MAX);
  await t.rejects(user.call("os.fstatvfs", fd), { code: "ENOTCONN" });
  const text = (): Promise<string> => user.text(`${mount}/mailbox`).catch(() => "");
  await until("it is mounted anew", async () => (await text()) === "before");
  t.equal(await stop(supervised), 0);
  t.notOk(isMounted(mount));
});

t.test("SIGTERM while no spool serves leaves no dead mount", { skip }, async (t) => {
  const { mount, supervised } = await serving(t);
  const spool = supervised.childWith(SPOOL);
  // So that it does not end before it is killed.
  process.kill(spool, "SIGSTOP");
  // Of two signals that wait, SIGTERM would come first.
  await until("it stands still", () => /^State:\tT/m.test(statusOf(spool)));
  supervised.child.kill("SIGTERM");
  await until("the front has ended", () => supervised.childWith(FRONT) === 0);
  // Until then its death would be one that nobody has asked for.
  await until("it is told to end", () => isTold(spool));
  process.kill(spool, "SIGKILL");
  t.equal(await supervised.end(), 1);
  t.notOk(isMounted(mount));
});

t.test("a supervisor that was killed leaves no process and no mount", { skip }, async (t) => {
  const { mount, supervised } = await serving(t);
  const children = childrenOf(supervised);
  supervised.child.kill("SIGKILL");
  await until("its children have ended", () => !children.some(isRunning));
  t.notOk(isMounted(mount));
});

t.test(
  "a supervisor that was killed is started again at once, while a program uses the mount",
  { skip },
  async (t) => {
    const { store, mount, file, supervised } = await serving(t);
    const user = await userOf(t, mount);
    const fd = await user.open(`${mount}/mailbox`);
    const children = childrenOf(supervised);
    supervised.child.kill("SIGKILL");
    await supervised.end();
    const next = await servingAgain(t, file);
    t.equal(servingProcess(store), next.childWith(SPOOL), "the spool before it has let go");
    await until("nothing of the one before it runs", () => !children.some(isRunning));
    await t.rejects(user.call("os.fstatvfs", fd), { code: "ENOTCONN" });
    t.equal(await user.text(`${mount}/mailbox`), "before");
    t.equal(await stop(next), 0);
  },
);

t.test(
  "a program that holds a lock may finish when the supervisor was killed",
  { skip },
  async (t) => {
    const { mount, file, supervised } = await serving(t);
    const user = await userOf(t, mount);
    const fd = await user.open(`${mount}/mailbox`, constants.O_RDWR);
    await user.call("flock", fd, LOCK_EX);
    await user.writeFile(`${mount}/mailbox.lock`, "");
    await user.writeFile(`${mount}/free`, "");
    const free = await user.open(`${mount}/free`);
    const spool = supervised.childWith(SPOOL);
    supervised.child.kill("SIGKILL");
    await sleep(4000);
    t.ok(isRunning(spool), "it waits for the lock");
    t.equal(await user.pwrite(fd, "AFTER!", 0), 6);
    const refused = user.call("flock", free, LOCK_EX + LOCK_NB);
    await t.rejects(refused, { code: "EAGAIN" }, "nobody begins anything");
    await user.unlink(`${mount}/mailbox.lock`);
    await user.call("flock", fd, LOCK_UN);
    await until("nothing is mounted", () => !isMounted(mount));
    const next = await servingAgain(t, file);
    t.equal(await user.text(`${mount}/mailbox`), "AFTER!");
    t.equal(await stop(next), 0);
  },
);

t.test("sessions that do not end are ended after the time for them", { skip }, async (t) => {
  const { mount, directory, supervised } = await serving(t, { hostname: "stubborn" }, 300);
  const front = supervised.childWith(FRONT);
  t.equal(await stop(supervised), 0);
  t.notOk(isRunning(front));
  t.notOk(isMounted(mount));
  t.match(logOf(directory), "sessions are still open");
});

t.test("a second SIGTERM ends at once", { skip }, async (t) => {
  const { mount, directory, supervised } = await serving(t, { hostname: "stubborn" });
  const children = childrenOf(supervised);
  supervised.child.kill("SIGTERM");
  await until("it drains", () => logOf(directory).includes('"draining"'));
  t.ok(children.every(isRunning));
  supervised.child.kill("SIGTERM");
  t.equal(await supervised.end(), 1);
  t.notOk(children.some(isRunning));
  await until("nothing is mounted", () => !isMounted(mount));
});

t.test("SIGTERM during the start ends what has been started", { skip }, async (t) => {
  // It would be ready, if this process were slow.
  const { mount, directory, supervised } = begin(t, { hostname: "silent" });
  await until("the log is there", () => existsSync(join(directory, "log")));
  await until("a child runs", () => processesWith(mount).length > 0);
  supervised.child.kill("SIGTERM");
  await supervised.end();
  await until("all have ended", () => processesWith(mount).length === 0);
  t.notOk(isMounted(mount));
  t.notMatch(supervised.stdout, "ready\n");
});

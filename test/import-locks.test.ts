import t from "tap";
import { once } from "node:events";
import { chownSync, lutimesSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openUnlocked } from "../cli/import/locked-source.ts";
import { DOTLOCK_SECONDS_MAX, isValidDotlock } from "../fs/delivery/dotlock-rule.ts";
import { collect, command, noKernelBinding, run, start } from "./cli-process.ts";
import { served, site, userMailbox, writeMailbox } from "./import-tree.ts";
import { eventually } from "./system/harness.ts";

t.setTimeout(120_000);

t.test("a dotlock counts while it is young and of somebody who may lock the mailbox", async (t) => {
  const mailbox = { uid: 7, gid: 8 };
  const valid = (uid: number, gid: number, ageSec = 0): boolean =>
    isValidDotlock({ uid, gid, mtimeSec: 1_000_000 - ageSec }, mailbox, 1_000_000);
  t.ok(valid(0, 0), "root's");
  t.ok(valid(7, 1), "the owner's");
  t.ok(valid(1, 8), "the group's");
  t.notOk(valid(1, 1), "a stranger's");
  const { length } = [-1, 1].filter((sign) => valid(7, 8, sign * (DOTLOCK_SECONDS_MAX - 1)));
  t.equal(length, 2);
  t.notOk(valid(7, 8, DOTLOCK_SECONDS_MAX));
  t.notOk(valid(7, 8, -DOTLOCK_SECONDS_MAX), "from the future");
});

function mailboxIn(t: { teardown(done: () => void): unknown }): string {
  const directory = mkdtempSync(join(tmpdir(), "onespool-test-locks-"));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, "bob");
  writeFileSync(path, "From a\n\n");
  return path;
}

const isRoot = process.getuid?.() === 0;
const notRoot = isRoot ? false : "files of other users need root";

t.test(
  "a mailbox of the source is read in spite of a stranger's dotlock",
  { skip: notRoot },
  async (t) => {
    const path = mailboxIn(t);
    const lock = `${path}.lock`;
    const wait = { msMax: 0, signal: new AbortController().signal };
    const isFree = async (): Promise<boolean> => {
      const file = await openUnlocked(path, wait);
      await file?.close();
      return file !== undefined;
    };
    chownSync(path, 20_001, 20_001);
    t.ok(await isFree());
    writeFileSync(lock, "");
    t.notOk(await isFree(), "root's");
    chownSync(lock, 20_001, 20_009);
    t.notOk(await isFree(), "the owner's");
    chownSync(lock, 20_009, 20_001);
    t.notOk(await isFree(), "the group's");
    chownSync(lock, 20_009, 20_009);
    t.ok(await isFree(), "a stranger's");
    rmSync(lock);
    symlinkSync("host:1", lock);
    t.notOk(await isFree(), "a symbolic link");
    const late = Date.now() / 1000 + 2 * DOTLOCK_SECONDS_MAX;
    lutimesSync(lock, late, late);
    t.ok(await isFree(), "from the future");
  },
);

t.test("an interrupted wait for a lock ends", async (t) => {
  const path = mailboxIn(t);
  writeFileSync(`${path}.lock`, "");
  const abort = new AbortController();
  const waiting = openUnlocked(path, { msMax: 3_600_000, signal: abort.signal });
  abort.abort();
  await t.rejects(waiting, { name: "AbortError" });
});

t.test(
  "an import that waits for a lock is interrupted in good order",
  { skip: noKernelBinding() },
  async (t) => {
    const place = site(t);
    const { source, mountpoint } = place;
    await served(t, place);
    writeMailbox(join(source, "free"), userMailbox(1, 2));
    writeMailbox(join(source, "held"), userMailbox(1, 2));
    writeMailbox(join(source, "held.lock"), "");
    const args = ["import", "--json", "--lock-wait", "3600", source, mountpoint];
    const child = start(process.execPath, [command, ...args]);
    const ended = collect(child);
    const exited = once(child, "exit");
    // The first mailbox has its name: the next one is being waited for, or soon will be.
    await eventually("the first mailbox has its name", async () => {
      const { code } = await run("timeout", "10", "test", "-f", join(mountpoint, "free"));
      return code === 0;
    });
    child.kill("SIGTERM");
    await exited;
    const { code, stdout, stderr } = await ended;
    t.equal(code, 1);
    t.match(JSON.parse(stdout), { interrupted: true, taken: 1, skippedCount: 0 });
    t.match(stderr, "interrupted; the same command goes on from here");
  },
);

import t from "tap";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  command,
  collect,
  killWithKeeper,
  noKernelBinding,
  onespool,
  run,
  serve,
  start,
} from "./cli-process.ts";
import {
  importing,
  oddTree,
  served,
  site,
  snapshot,
  userMailbox,
  writeMailbox,
  type Site,
} from "./import-tree.ts";
import { randomFrom } from "./movers.ts";
import { eventually } from "./system/harness.ts";
import { childOf, isAlive } from "./system/mount.ts";

const skip = noKernelBinding();
const isLong = process.env["ONESPOOL_LONG"] === "1";
const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
t.comment(
  `seed ${seed}: SEED=${seed} node dist/test/import-kill.test.js kills after the same times`,
);
t.setTimeout(isLong ? 1_800_000 : 280_000);

function startImport(...args: string[]): ChildProcess {
  return start(process.execPath, [command, "import", ...args]);
}

const without = /(?:^|\/)\.onespool-import\./;

/** Of every regular file its path and digest; attributes come later than a directory's first files. */
function contentsOf(lines: readonly string[]): Map<string, string> {
  const found = lines.map((line) => JSON.parse(line) as { path: string; sha256?: string });
  return new Map(found.flatMap(({ path, sha256 }) => (sha256 ? [[path, sha256]] : [])));
}

async function notWhole(
  mountpoint: string,
  wanted: ReadonlyMap<string, string>,
): Promise<string[]> {
  const there = contentsOf(await snapshot(mountpoint, without));
  return [...there].filter(([path, digest]) => wanted.get(path) !== digest).map(([path]) => path);
}

async function largeTree({ source }: Site): Promise<void> {
  await oddTree(source);
  for (let user = 10; user < (isLong ? 200 : 30); user++) {
    writeMailbox(join(source, `user${user}`), userMailbox(user, 60));
  }
}

for (const share of [[], ["--share"]]) {
  const name = share.length === 0 ? "" : ", with --share";
  t.test(
    `kill -9 at any point leaves whole mailboxes only, and it goes on${name}`,
    { skip },
    async (t) => {
      const place = site(t);
      const { source, mountpoint, store } = place;
      await largeTree(place);
      const before = await snapshot(source);
      const wanted = contentsOf(before);
      const end = await served(t, place);
      const random = randomFrom(seed + share.length);
      let killed = 0;
      let most = 0;
      // Node needs some time before anything happens; what is left to be imported takes less each time.
      let startMs = 150;
      let withinMs = 900;
      const rounds = isLong ? 40 : 4;
      for (let round = 0; round < rounds || (killed === 0 && round < 5 * rounds); round++) {
        const began = performance.now();
        const child = startImport(...share, source, mountpoint);
        const exited = once(child, "exit");
        child.stdout!.resume();
        child.stderr!.resume();
        await Promise.race([exited, sleep(startMs + random() * withinMs)]);
        child.kill("SIGKILL");
        const [code] = (await exited) as [number | null];
        if (code === null) killed++;
        else {
          const tookMs = performance.now() - began;
          startMs = Math.min(startMs, tookMs / 2);
          withinMs = (tookMs - startMs) / 2;
        }
        t.strictSame(await notWhole(mountpoint, wanted), [], `after ${round + 1} kills`);
        most = Math.max(most, (await snapshot(mountpoint, without)).length);
      }
      t.ok(killed > 0, `${killed} were killed, the last with ${most} names there`);
      t.match(await importing(...share, source, mountpoint), { code: 0 });
      t.strictSame(await snapshot(mountpoint), before, "no name is left of what was killed");
      await end();
      t.match(await onespool("fsck", store), { code: 0, stdout: /: clean; / });
    },
  );
}

t.test("the spool dies: with a successor the import goes on", { skip }, async (t) => {
  const place = site(t);
  const { source, mountpoint, store } = place;
  await largeTree(place);
  const before = await snapshot(source);
  const { child } = await serve(store, mountpoint);
  const ended = collect(startImport(source, mountpoint));
  for (let kills = 0; kills < 2; kills++) {
    await Promise.race([ended, sleep(400)]);
    const serving = childOf(child.pid!);
    process.kill(serving, "SIGKILL");
    while (isAlive(serving) || childOf(child.pid!) === 0) await sleep(5);
  }
  t.match(await ended, { code: 0, stderr: "" });
  t.strictSame(await snapshot(mountpoint), before);
  child.kill("SIGTERM");
  await once(child, "exit");
  t.match(await onespool("fsck", store), { code: 0, stdout: /: clean; / });
});

t.test("the spool dies for good: the import says so, and goes on later", { skip }, async (t) => {
  const place = site(t);
  const { source, mountpoint, store } = place;
  await largeTree(place);
  const before = await snapshot(source);
  for (let round = 0; round < 2; round++) {
    await serve(store, mountpoint);
    const ended = collect(startImport(source, mountpoint));
    await Promise.race([ended, sleep(400 + round * 250)]);
    await killWithKeeper(store);
    const { code, stderr } = await ended;
    if (code !== 0) t.match(stderr, /^onespool: .*the process that served this mount is gone/m);
  }
  const end = await served(t, place);
  t.strictSame(await notWhole(mountpoint, contentsOf(before)), []);
  t.match(await importing(source, mountpoint), { code: 0 });
  t.strictSame(await snapshot(mountpoint), before);
  await end();
  t.match(await onespool("fsck", store), { code: 0, stdout: /: clean; / });
});

t.test("Ctrl-C ends in good order, also the mount that was made for it", { skip }, async (t) => {
  const place = site(t);
  const { source, store, directory } = place;
  writeMailbox(join(source, "large"), Buffer.alloc(300 << 20, "0123456789\n"));
  // Whenever the signal comes, the import has not come to its end by itself.
  writeMailbox(join(source, "then"), "never taken\n");
  writeMailbox(join(source, "then.lock"), "");
  const temporary = join(directory, "tmp");
  mkdirSync(temporary);
  const args = [command, "import", "--create", "--lock-wait", "3600", source, store];
  const child = spawn(process.execPath, args, {
    env: { ...process.env, TMPDIR: temporary },
    stdio: "pipe",
    timeout: 60_000,
    killSignal: "SIGKILL",
  });
  const ended = collect(child);
  await eventually("its mount is there: it is at work", async () =>
    readFileSync("/proc/self/mountinfo", "utf8").includes(temporary),
  );
  await sleep(100);
  child.kill("SIGINT");
  const { code, stdout, stderr } = await ended;
  t.equal(code, 1);
  t.match(stderr, /interrupted; the same command goes on from here\n$/);
  // The large one, if this process had to wait for its turn.
  const [, taken] = /^taken: ([01]) files/.exec(stdout) ?? [];
  t.ok(taken !== undefined, stdout);
  t.notOk(readFileSync("/proc/self/mountinfo", "utf8").includes(temporary));
  t.match(await onespool("fsck", store), { code: 0, stdout: `: clean; names ${taken}, ` });
});

t.test(
  "a full disk: whole mailboxes only, a clear error, and it goes on with room",
  { skip },
  async (t) => {
    const place = site(t);
    const { source, mountpoint, store } = place;
    await oddTree(source);
    rmSync(join(source, "sparse"));
    for (let user = 10; user < 30; user++) {
      writeMailbox(join(source, `user${user}`), userMailbox(user, 60));
    }
    const before = await snapshot(source);
    mkdirSync(store);
    const options = ["-t", "tmpfs", "-o", "size=24m", "tmpfs", store];
    t.equal(spawnSync("mount", options).status, 0, "tmpfs is mounted");
    t.teardown(async () => {
      await run("umount", "-l", store);
    });
    const inside = { ...place, store: join(store, "s") };
    writeFileSync(join(store, "ballast"), Buffer.alloc(14 << 20));
    const end = await served(t, inside);
    const full = await importing(source, mountpoint);
    t.equal(full.code, 1);
    t.match(full.stderr, /no space left/i);
    t.strictSame(await notWhole(mountpoint, contentsOf(before)), []);
    rmSync(join(store, "ballast"));
    t.match(await importing("--share", source, mountpoint), { code: 0 });
    t.strictSame(await snapshot(mountpoint), before);
    await end();
    t.match(await onespool("fsck", inside.store), { code: 0, stdout: /: clean; / });
  },
);

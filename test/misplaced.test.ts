/**
 * A segment's file under another segment's name, and a log that is shorter than its index knows: told as what it is, with the
 * files that it touches, and nothing is cut off.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import t from "tap";
import { checkStore } from "../fs/store/check.ts";
import { segmentPath } from "../fs/store/paths.ts";
import { Store } from "../fs/store/store.ts";
import { onespool } from "./cli-process.ts";
import { readStore } from "./store-load.ts";
import {
  differing,
  removeIndex,
  segmentPathsOf,
  segmentsOf,
  StoredMail,
} from "./system/stored-mail.ts";
import type { Tap } from "./system/stored-mail.ts";

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
t.setTimeout(90_000);
t.comment(`seed ${seed}: SEED=${seed} node dist/test/misplaced.test.js repeats this run`);

function logOf(store: string): Map<string, string> {
  const directory = join(store, "log");
  const names = fs.readdirSync(directory);
  return new Map(names.map((name) => [name, fs.readFileSync(join(directory, name), "latin1")]));
}

/** More than half of the last segment is bytes of files, so that files are touched by whatever happens to it. */
async function endingInMail(test: Tap, seed: number): Promise<StoredMail> {
  const mail = await StoredMail.make(test, seed, 120);
  while ((await livePartOfLast(mail)) <= 1 / 2) await mail.add(1);
  return mail;
}

async function livePartOfLast(mail: StoredMail): Promise<number> {
  const store = await mail.open();
  const last = segmentsOf(mail.store).at(-1) as number;
  const { liveBytes } = store.internals().state.segmentUse(last);
  await store.close();
  return liveBytes / fs.statSync(segmentPath(mail.store, last)).size;
}

t.test("a segment that was copied over another one is told first, with its files", async (t) => {
  const mail = await endingInMail(t, seed);
  for (const [from, to] of [
    [1, 2],
    [1, segmentPathsOf(mail.store).length],
  ] as const) {
    const store = mail.copy("copied");
    fs.copyFileSync(segmentPath(store, from), segmentPath(store, to));
    const before = logOf(store);
    const report = await checkStore(store);
    t.match(report.damage[0], { kind: "misplaced", segment: to, number: from });
    t.match(report.problems[1], `: the file is another segment's: its header says ${from}; `);
    t.match(report.problems[1], /files? touched: box\d+ \(lost: bytes/);
    t.ok(report.problemCount < 10, report.problems.join("\n"));
    await t.rejects(Store.open(store), { code: "STORE_DAMAGED", message: /is segment 1, as its/ });
    t.match(await onespool("fsck", store), { code: 4, stdout: /its header says 1/ });
    removeIndex(store);
    t.match(await checkStore(store), { clean: false, opened: false });
    t.strictSame(logOf(store), before, "nothing was cut off");
  }
});

t.test("two segments that were swapped can be swapped again", async (t) => {
  const mail = await StoredMail.make(t, seed + 1, 120);
  const paths = segmentPathsOf(mail.store);
  const [one, other] = [paths.at(-2) as string, paths.at(-1) as string];
  const swap = (): void => {
    fs.renameSync(one, `${one}.x`);
    fs.renameSync(other, one);
    fs.renameSync(`${one}.x`, other);
  };
  swap();
  t.match((await checkStore(mail.store)).damage, [{ kind: "misplaced" }, { kind: "misplaced" }]);
  swap();
  t.match(await checkStore(mail.store), { clean: true });
  t.strictSame(differing(await readStore(mail.store), mail.model), []);
});

t.test("files in the end of a log that was cut are named", async (t) => {
  const mail = await endingInMail(t, seed + 2);
  const last = segmentPathsOf(mail.store).at(-1) as string;
  fs.truncateSync(last, fs.statSync(last).size >> 1);
  const report = await checkStore(mail.store);
  t.match(report, { clean: false, opened: false });
  t.match(report.problems.join("\n"), /the segment's end is missing; .*touched: box\d+/);
  t.match(report.damage, [{ kind: "cut" }]);
});

t.test("a place in a store is refused for what is salvaged", async (t) => {
  const { store } = await StoredMail.make(t, seed + 3, 20);
  t.match(await onespool("fsck", store, "--salvage", join(store, "log/x")), {
    code: 1,
    stderr: /log\/x: lies in the store/,
  });
  t.notOk(fs.existsSync(join(store, "log/x")));
});

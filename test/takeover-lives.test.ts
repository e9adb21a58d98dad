/** What a keeper makes of the ends of serving processes. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";
import t from "tap";
import { EXIT_REPLACE, QUICK_DEATHS_MAX } from "../fs/takeover/kept.ts";
import { Lives } from "../fs/takeover/lives.ts";
import { whyNoMount } from "./kernel-mounted.ts";

const skip = whyNoMount();
const LONG_MS = 60_000;

function begin(t: Test): { readonly lives: Lives; readonly options: () => Promise<string[]> } {
  const directory = mkdtempSync(join(tmpdir(), "onespool-lives-"));
  const lives = new Lives(join(directory, "mount"));
  t.teardown(() => {
    lives.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const script = join(directory, "tells.mjs");
  writeFileSync(script, "process.send(process.argv.slice(2), () => process.disconnect());");
  return {
    lives,
    options: async () => {
      lives.keep();
      const child = lives.spawn([script]);
      const [[told]] = await Promise.all([once(child, "message"), once(child, "close")]);
      return told as string[];
    },
  };
}

t.test("a successor is told of one that hangs until it is ready", { skip }, async (t) => {
  const { lives, options } = begin(t);
  const first = ["--while-connected", "--kept"];
  t.same(await options(), first);
  lives.ready({ ready: "", warnings: [] });
  lives.stuck(123);
  t.equal(lives.ended(null, LONG_MS), "successor");
  t.same(await options(), [...first, "--successor", "123"]);
  t.equal(lives.ended(null, 0), "successor", "it died before it had looked");
  t.same(await options(), [...first, "--successor", "123"]);
  lives.ready({ ready: "", warnings: [] });
  t.equal(lives.ended(null, LONG_MS), "successor");
  t.same(await options(), [...first, "--successor"]);
  t.equal(lives.ended(0, LONG_MS), "ended");
  t.same(await options(), first);
});

t.test("quick deaths in a row lead to an end, and a long life begins anew", { skip }, (t) => {
  const { lives } = begin(t);
  lives.keep();
  const die = (servedMs: number): string => lives.ended(null, servedMs);
  for (let k = 1; k < QUICK_DEATHS_MAX; k++) t.equal(die(0), "successor");
  t.ok(lives.delayMs > 0);
  t.equal(die(LONG_MS), "successor");
  t.equal(lives.delayMs, 0);
  for (let k = 1; k < QUICK_DEATHS_MAX; k++) t.equal(die(0), "successor");
  t.equal(die(0), "given up");
  t.end();
});

t.test("one that cannot be taken over is made anew, unless it was detached", { skip }, (t) => {
  const { lives } = begin(t);
  lives.keep();
  t.equal(lives.ended(EXIT_REPLACE, 0), "anew", "it was never mounted");
  for (let k = 2; k < QUICK_DEATHS_MAX; k++) {
    lives.keep();
    t.equal(lives.ended(EXIT_REPLACE, 0), "anew");
  }
  t.equal(lives.ended(EXIT_REPLACE, 0), "given up", "not for ever");
  lives.keep();
  // Of a file system that is not there: nobody's connection is touched.
  const device = "0:1048575";
  t.notOk(existsSync("/sys/fs/fuse/connections/1048575"));
  lives.ready({ ready: "", warnings: [], device });
  t.equal(lives.ended(EXIT_REPLACE, LONG_MS), "ended");
  t.end();
});

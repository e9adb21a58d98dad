/**
 * What a store costs when nothing runs: proving it, making its index anew, and starting after kill -9. In processes of
 * their own, without a mount. The store is not in the page cache alone by chance: it was written just before.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Figure } from "../figures.ts";
import { progress, type Workspace } from "../workspace.ts";

export const storeRow = {
  name: "store",
  says: "fsck, index rebuild, and the start after kill -9, of a store of --store-gigabytes (default 1)",
  measure,
};

const STORE = "store-store";
const TIMEOUT_MS = 3_600_000;
const MEGABYTE = 1_000_000;

interface Timed {
  readonly ms: number;
  readonly cpuMs: number;
  readonly rssBytes: number;
}

async function run(script: string, args: readonly string[]): Promise<string> {
  const path = fileURLToPath(new URL(`../${script}`, import.meta.url));
  const child = spawn(process.execPath, [path, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => (text += part));
  await once(child, "close");
  return text;
}

async function measure(workspace: Workspace): Promise<Figure[]> {
  const { sizes, options } = workspace;
  const directory = workspace.path(STORE);
  const bytes = sizes.storeBytes;
  const make = (of: number): Promise<string> =>
    run("store-maker.js", [directory, `${of}`, `${sizes.storeMailboxes}`, `${options.seed}`]);
  const timed = async (what: string): Promise<Timed> => {
    const text = await run("store-timer.js", [what, directory]);
    if (text === "") throw new Error(`${what} failed`);
    const found = JSON.parse(text) as Timed;
    progress(`store ${what}: ${Math.round(found.ms)} ms, ${Math.round(found.cpuMs)} ms of CPU`);
    return found;
  };
  progress(`making a store of ${bytes / MEGABYTE} MB`);
  await make(bytes);
  const starts: number[] = [];
  const checks: number[] = [];
  const rebuilds: number[] = [];
  const notes: Record<"fsck" | "rebuild", string[]> = { fsck: [], rebuild: [] };
  for (let count = 0; count < options.runs; count++) {
    const megabytes = logLength(directory) / MEGABYTE;
    starts.push((await timed("open")).ms / 1000);
    const fsck = await timed("fsck");
    checks.push((megabytes / fsck.ms) * 1000);
    notes.fsck = [describe(fsck, megabytes)];
    const rebuild = await timed("rebuild");
    rebuilds.push((megabytes / rebuild.ms) * 1000);
    notes.rebuild = [describe(rebuild, megabytes)];
    // A further death, with as much to be read after it as there can be.
    if (count + 1 < options.runs) await make(sizes.storeLagBytes);
  }
  workspace.remove(STORE);
  const of = `of a log of ${bytes / MEGABYTE} MB`;
  return [
    {
      row: "store, start",
      work: `opening a store ${of} after kill -9`,
      unit: "s",
      ours: starts,
      target: { kind: "value", atMost: 3 },
    },
    {
      row: "store, fsck",
      work: `onespool fsck ${of}, all of it`,
      unit: "MB/s",
      ours: checks,
      target: { kind: "value", atLeast: 300 },
      notes: notes.fsck,
    },
    {
      row: "store, rebuild",
      work: `making the index anew ${of}`,
      unit: "MB/s",
      ours: rebuilds,
      target: { kind: "value", atLeast: 200 },
      notes: notes.rebuild,
    },
  ];
}

function logLength(store: string): number {
  const log = join(store, "log");
  return readdirSync(log).reduce((sum, name) => sum + statSync(join(log, name)).size, 0);
}

function describe({ cpuMs, rssBytes }: Timed, megabytes: number): string {
  const perSecond = Math.round((megabytes / cpuMs) * 1000);
  return `${perSecond} MB for each second of processor time; ${Math.round(rssBytes / MEGABYTE)} MB of memory`;
}

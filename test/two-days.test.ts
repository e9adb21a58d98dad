/**
 * Two days in the life of a mail site, by a simulated clock (system/two-days/): the memory of the process does not grow
 * from the first day to the second, its store keeps to the published bound at every minute, and every mailbox holds
 * what it has to. `ONESPOOL_SEED=n` repeats a run; ONESPOOL_LONG=1 makes it a larger site.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import t from "tap";
import type { End, LifeOptions, Sample } from "./system/two-days/life.ts";
import type { Memory } from "./system/two-days/memory.ts";
import { growth, MEMORY_KINDS } from "./system/two-days/memory.ts";

const isLong = process.env["ONESPOOL_LONG"] === "1";
const seed = Number(process.env["ONESPOOL_SEED"] ?? Date.now() % 1_000_000);
const LIFE_MS_MAX = isLong ? 1_500_000 : 240_000;
t.setTimeout(2 * LIFE_MS_MAX);
t.comment(`seed ${seed}: ONESPOOL_SEED=${seed} repeats this run`);

const script = fileURLToPath(new URL("./system/two-days/life.js", import.meta.url));

/** The space of young objects grows in steps of 14 MB when the collector likes: they would look like a leak, or hide one. */
const NODE_OPTIONS = ["--expose-gc", "--max-semi-space-size=2"];

type Settings = Omit<LifeOptions, "directory" | "seed" | "hours">;

const large: Settings = {
  mailboxes: 300,
  deliveriesPerMinute: 15,
  messagesKept: 50,
  segmentLength: 4 << 20,
  checkpointBytes: 1 << 20,
  rowsMax: 1_000,
  hourMsMin: 2_000,
  deliveryMsMin: 4,
  leak: "none",
};
const small: Settings = {
  mailboxes: 30,
  deliveriesPerMinute: 1.2,
  messagesKept: 25,
  segmentLength: 512 << 10,
  checkpointBytes: 256 << 10,
  rowsMax: 150,
  hourMsMin: 200,
  deliveryMsMin: 4,
  leak: "none",
};
const tiny: Settings = {
  ...small,
  mailboxes: 10,
  deliveriesPerMinute: 1,
  hourMsMin: 0,
  deliveryMsMin: 0,
};

interface Lived {
  readonly samples: readonly Sample[];
  readonly end: End | undefined;
}

const MEMORY_DISK = "/dev/shm";
const ROOM = 512 << 20;

/** Tens of thousands of syncs are no part of what is looked at: in memory, where there is some, they take no time. */
function place(): string {
  if (isLong || !existsSync(MEMORY_DISK)) return tmpdir();
  const { bavail, bsize } = statfsSync(MEMORY_DISK);
  return bavail * bsize > ROOM ? MEMORY_DISK : tmpdir();
}

/** Throws when it does not come to its end. */
async function live(settings: Settings): Promise<Lived> {
  const directory = mkdtempSync(join(place(), "onespool-two-days-"));
  try {
    const options: LifeOptions = { ...settings, directory, seed, hours: 48 };
    const child = spawn(process.execPath, [...NODE_OPTIONS, script, JSON.stringify(options)], {
      stdio: ["ignore", "pipe", "inherit"],
      timeout: LIFE_MS_MAX,
    });
    const samples: Sample[] = [];
    let end: End | undefined;
    createInterface({ input: child.stdout }).on("line", (text) => {
      const line = JSON.parse(text) as Sample | End;
      if (line.kind === "sample") samples.push(line);
      else end = line;
    });
    const [code, signal] = (await once(child, "close")) as [number | null, string | null];
    if (code !== 0)
      throw new Error(`the process ended after hour ${samples.length}: ${signal ?? code}`);
    return { samples, end };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The same hours of both days. */
function grown({ samples }: Lived): Growth {
  const early = samples.filter(({ hour }) => hour > 12 && hour <= 24);
  const late = samples.filter(({ hour }) => hour > 36 && hour <= 48);
  const deliveries = late.at(-1)!.deliveries - early.at(-1)!.deliveries;
  return { ...growth(early, late), deliveries };
}

interface Growth extends Memory {
  readonly deliveries: number;
}

/**
 * Which kinds of memory grew by more than chance has it. Objects and buffers: what is in caches at the moment, and files
 * and mail that there happen to be, and beyond that less than a fifth of a kilobyte for each delivery, which with the
 * reading and rewriting that goes with it is some ten requests. The process: also what the allocator keeps in pieces.
 */
function tooMuch({ deliveries, ...memory }: Growth): string[] {
  const objects = 1_000_000 + 200 * deliveries;
  const max: Memory = { heap: objects, external: objects, resident: 12_000_000 + 200 * deliveries };
  return MEMORY_KINDS.filter((kind) => memory[kind] > max[kind]);
}

function shown({ heap, external, resident, deliveries }: Growth): string {
  const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;
  return `objects ${mb(heap)}, buffers ${mb(external)}, process ${mb(resident)} in ${deliveries} deliveries`;
}

t.test("two days of a mail site", async (t) => {
  const began = performance.now();
  const lived = await live(isLong ? large : small);
  const { samples, end } = lived;
  t.equal(samples.length, 48);
  const { counts, bytesFreed = 0, bytesWritten = 0 } = end ?? {};
  t.comment(
    `${JSON.stringify(counts)} in ${((performance.now() - began) / 1000).toFixed(0)} s; ` +
      `${(bytesWritten / 1e6).toFixed(0)} MB of log, ${(bytesFreed / 1e6).toFixed(0)} MB given back`,
  );
  t.comment(`from the first day to the second: ${shown(grown(lived))}`);
  t.strictSame(tooMuch(grown(lived)), [], "no kind of memory grew");
  const part = Math.max(...samples.map(({ boundPart }) => boundPart));
  t.ok(part <= 1, `the log was never over its bound (${part.toFixed(2)} of it)`);
  t.ok(bytesFreed > bytesWritten / 2, "space came back");
  t.equal(end?.backups, 2);
  t.ok((counts?.pended ?? 0) > 0, "mail waited for locks");
  t.strictSame(
    end?.left,
    { pending: 0, unlinkedBytes: 0, deletedOpenBytes: 0, cutOffBytes: 0 },
    "what was kept for a while is gone",
  );
  t.strictSame(end?.problems, [], "every mailbox holds its mail, and fsck finds nothing");
});

t.test("what is kept of each delivery is found", async (t) => {
  const kinds = { objects: "heap", buffers: "external" } as const;
  await Promise.all(
    (["objects", "buffers"] as const).map(async (leak) => {
      const growth = grown(await live({ ...tiny, leak }));
      t.comment(`${leak} are kept: ${shown(growth)}`);
      t.ok(tooMuch(growth).includes(kinds[leak]), leak);
    }),
  );
});

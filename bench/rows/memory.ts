/**
 * Memory of the spool process with many mailboxes and extents, and how long such a store takes to open after a crash.
 *
 * The store is built with tiny messages: memory and recovery follow the number of extents, not their bytes. Each
 * delivery makes two, one private and one shared.
 */
import type { Figure } from "../figures.ts";
import { syncDisk } from "../machine.ts";
import { memoryOf } from "../process-counters.ts";
import type { SpoolProcess } from "../spool-process.ts";
import { progress, type Workspace } from "../workspace.ts";

const STORE = "memory-store";
const RECIPIENTS = 1000;
const VISITORS = 4;
const MEGABYTE = 1e6;
/** Messages between two looks at the index: 20,000 extents, a tenth of what it may lag behind. */
const STEP_MESSAGES = 10;
const STEPS_MAX = 400;

export const memoryRow = {
  name: "memory",
  says: "memory with 10,000,000 extents, and opening that store after kill -9",
  measure,
};

async function measure(workspace: Workspace): Promise<Figure[]> {
  const { sizes, options, native } = workspace;
  const first = await workspace.mount(STORE);
  progress(`memory: making ${sizes.memoryMailboxes} mailboxes`);
  await workspace.makeMailboxes(first.mountpoint, sizes.memoryMailboxes);
  progress(`memory: delivering ${sizes.memoryDeliveries} tiny messages`);
  await deliver(workspace, first, sizes.requestsAtOnce, messagesOfEach(workspace), 0);
  const built = memoryOf(first.pid);
  progress(`memory: ${megabytes(built.residentBytes)} MB resident after the deliveries`);
  const visit = (spool: SpoolProcess): Promise<unknown> =>
    native.run("visit", ["all", spool.mountpoint, VISITORS, sizes.memoryMailboxes], 1_200_000);
  await visit(first);
  const used = memoryOf(first.pid);
  progress(
    `memory: ${megabytes(used.residentBytes)} MB resident (${megabytes(used.anonymousBytes)} MB anonymous) after the visits`,
  );
  await first.unmount();

  // The same without the deliveries before: a process that only serves the mailboxes.
  const second = await workspace.mount(STORE);
  await visit(second);
  const fresh = memoryOf(second.pid);

  const openings: number[] = [];
  const lags: string[] = [];
  let spool = second;
  for (let run = 0; run < options.runs; run++) {
    lags.push(await fallBehind(workspace, spool, run));
    await spool.kill();
    spool = await workspace.mount(STORE);
    openings.push(spool.readyMs / 1000);
    progress(`opening after kill -9: ${spool.readyMs.toFixed(0)} ms, ${lags.at(-1)} behind`);
  }
  await spool.unmount();
  const again = await workspace.mount(STORE);
  await again.unmount();
  syncDisk(workspace.directory);
  workspace.remove(STORE);

  const extents = sizes.memoryDeliveries * 2;
  return [
    {
      row: "memory",
      work: `resident memory, ${sizes.memoryMailboxes} mailboxes and ${extents} extents, each mailbox looked up, read and appended to`,
      unit: "MB",
      ours: [used.residentBytes / MEGABYTE],
      target: { kind: "value", atMost: 500 },
      notes: [
        `anonymous ${megabytes(used.anonymousBytes)} MB, greatest ${megabytes(used.residentBytesMax)} MB, in the process that took the deliveries`,
        `a process that was started afterwards, same visits: ${megabytes(fresh.residentBytes)} MB`,
      ],
    },
    {
      row: "opening",
      work: "from the start of the process to the mount's ready line, after kill -9",
      unit: "s",
      ours: openings,
      target: { kind: "value", atMost: 5 },
      notes: [
        `the index lagged by ${lags.join("; ")}`,
        `after a clean unmount: ${(again.readyMs / 1000).toFixed(2)} s`,
      ],
    },
  ];
}

function messagesOfEach({ sizes }: Workspace): number {
  return Math.ceil(sizes.memoryDeliveries / RECIPIENTS / sizes.requestsAtOnce);
}

async function deliver(
  { sizes, options, native }: Workspace,
  spool: SpoolProcess,
  processes: number,
  messages: number,
  draw: number,
): Promise<void> {
  const seconds = 1800;
  await native.run(
    "deliver_hints",
    [
      spool.mountpoint,
      processes,
      RECIPIENTS,
      sizes.memoryMailboxes,
      seconds,
      options.seed + draw,
      sizes.memorySharedBytes,
      sizes.memoryPrivateBytes,
      messages,
    ],
    (seconds + 60) * 1000,
  );
}

/**
 * Delivers until the index is about to be brought up to date, and no further. When that is, is learnt from the
 * store: from the greatest lag that it tells before the lag falls.
 */
async function fallBehind(workspace: Workspace, spool: SpoolProcess, run: number): Promise<string> {
  let draw = 1000 * (run + 1);
  let lag = await lagOf(spool);
  const step = async (): Promise<Lag> => {
    await deliver(workspace, spool, 1, STEP_MESSAGES, draw++);
    return lagOf(spool);
  };
  let greatest = 0;
  for (let steps = 0; ; steps++) {
    if (steps === STEPS_MAX) throw new Error("the index is never brought up to date");
    const next = await step();
    if (next.extents < lag.extents && greatest > 0) {
      lag = next;
      break;
    }
    greatest = next.extents;
    lag = next;
  }
  await spool.settle();
  const eachStep = 2 * STEP_MESSAGES * RECIPIENTS;
  while (lag.extents + eachStep <= greatest + eachStep / 2) {
    const next = await step();
    if (next.extents < lag.extents) greatest = lag.extents;
    lag = next;
  }
  return `${lag.extents} extents and ${megabytes(lag.bytes)} MB of log`;
}

interface Lag {
  readonly extents: number;
  readonly bytes: number;
}

async function lagOf(spool: SpoolProcess): Promise<Lag> {
  const statistics = await spool.statistics();
  return {
    extents: statistics["indexLagExtents"] ?? 0,
    bytes: statistics["indexLagBytes"] ?? 0,
  };
}

function megabytes(bytes: number): string {
  return (bytes / MEGABYTE).toFixed(0);
}

/** Deliveries into 15, 100 and 1,000 of 100,000 mailboxes that exist, against a plain directory. */
import { formatNumber, median, type Figure } from "../figures.ts";
import { syncDisk } from "../machine.ts";
import type { Load } from "../native.ts";
import { MICROSECONDS_PER_TICK, processorTicksOf } from "../process-counters.ts";
import type { SpoolProcess } from "../spool-process.ts";
import { inTurn } from "../turns.ts";
import { progress, type Workspace } from "../workspace.ts";

interface Wanted {
  readonly recipients: number;
  readonly fsync: number;
  readonly oneAtATime: number;
  readonly syncfs: number;
}

const WANTED: readonly Wanted[] = [
  { recipients: 15, fsync: 1.5, oneAtATime: 4, syncfs: 1.2 },
  { recipients: 100, fsync: 4, oneAtATime: 15, syncfs: 2 },
  { recipients: 1000, fsync: 10, oneAtATime: 40, syncfs: 5 },
];

export const deliverRows = WANTED.map((wanted) => ({
  name: `deliver-${wanted.recipients}`,
  says: `deliver into ${wanted.recipients} mailboxes, 16 requests at a time and one at a time`,
  measure: async (workspace: Workspace): Promise<Figure[]> => {
    try {
      return await measure(workspace, wanted);
    } catch (error) {
      // The next row mounts the store again.
      prepared = undefined;
      throw error;
    }
  },
}));

const STORE = "deliver-store";
const PLAIN = "deliver-plain";
/** Drawn at random, three rounds reach 95 of 100 mailboxes. */
const WARM_UP_ROUNDS = 3;
const WARM_UP_RECIPIENTS = 1000;
const WARM_UP_SECONDS_MAX = 300;

let prepared: Promise<SpoolProcess> | undefined;

/** The three rows use one store and one plain directory, made for the first of them. */
async function prepare(workspace: Workspace): Promise<SpoolProcess> {
  const { sizes, options, native } = workspace;
  const { mailboxes } = sizes;
  progress(`making ${mailboxes} mailboxes on both sides`);
  await workspace.makeMailboxes(workspace.path(PLAIN), mailboxes);
  const first = await workspace.mount(STORE);
  await workspace.makeMailboxes(first.mountpoint, mailboxes);
  // On a new mount the kernel knows none of them, so there is nothing in its caches to be invalidated.
  // The row deliver-known measures the opposite.
  await first.unmount();
  const spool = await workspace.mount(STORE);
  // The plain directory is in memory, as it was made just now. So are the spool's rows after this.
  progress("warming up: deliveries that are not counted");
  await native.run(
    "deliver_hints",
    [
      spool.mountpoint,
      sizes.requestsAtOnce,
      WARM_UP_RECIPIENTS,
      mailboxes,
      WARM_UP_SECONDS_MAX,
      options.seed + 1,
      sizes.sharedBytes,
      sizes.privateBytes,
      Math.ceil((WARM_UP_ROUNDS * mailboxes) / WARM_UP_RECIPIENTS / sizes.requestsAtOnce),
    ],
    (WARM_UP_SECONDS_MAX + 60) * 1000,
  );
  return spool;
}

/** The same when the kernel has every mailbox in its caches: each delivery must then tell it of the change. */
export const deliverKnownRow = {
  name: "deliver-known",
  says: "deliver into 1,000 mailboxes that the kernel has in its caches",
  measure: measureKnown,
};

async function measureKnown(workspace: Workspace): Promise<Figure[]> {
  const { sizes, options, native } = workspace;
  prepared ??= prepare(workspace);
  const spool = await prepared;
  await native.run("visit", ["lookup", spool.mountpoint, 4, sizes.mailboxes], 600_000);
  const values: number[] = [];
  for (let run = 0; run < options.runs; run++) {
    await spool.settle();
    syncDisk(workspace.directory);
    const result = await native.run(
      "deliver_hints",
      [
        spool.mountpoint,
        sizes.requestsAtOnce,
        1000,
        sizes.mailboxes,
        sizes.seconds,
        options.seed + 7 * run,
        sizes.sharedBytes,
        sizes.privateBytes,
      ],
      (sizes.seconds + 120) * 1000,
    );
    values.push(result.deliveriesPerSecond);
  }
  return [
    {
      row: "deliver-known",
      work: `into 1000 of ${sizes.mailboxes} mailboxes, all of them in the kernel's caches, ${sizes.requestsAtOnce} requests at a time`,
      unit: "deliveries/s",
      ours: values,
    },
  ];
}

export async function finishDeliverRows(workspace: Workspace): Promise<void> {
  if (prepared === undefined) return;
  const spool = await prepared;
  await spool.unmount();
  workspace.remove(STORE);
  workspace.remove(PLAIN);
}

async function measure(workspace: Workspace, wanted: Wanted): Promise<Figure[]> {
  const { sizes, options, native } = workspace;
  const { recipients } = wanted;
  prepared ??= prepare(workspace);
  const spool = await prepared;
  let draws = 0;
  /** Processor time of the spool process for each delivery, microseconds. */
  const costs = { many: [] as number[], one: [] as number[] };

  const load = async (side: "spool" | "fsync" | "syncfs", processes: number): Promise<number> => {
    // Neither side pays for what the other left unwritten.
    await spool.settle();
    syncDisk(workspace.directory);
    const ticks = processorTicksOf(spool.pid);
    const where = side === "spool" ? [spool.mountpoint] : [side, workspace.path(PLAIN)];
    const result: Load = await native.run(
      side === "spool" ? "deliver_hints" : "deliver_files",
      [
        ...where,
        processes,
        recipients,
        sizes.mailboxes,
        sizes.seconds,
        options.seed + 97 * draws++,
        sizes.sharedBytes,
        sizes.privateBytes,
      ],
      (sizes.seconds + 120) * 1000,
    );
    if (side === "spool") {
      const microseconds = (processorTicksOf(spool.pid) - ticks) * MICROSECONDS_PER_TICK;
      costs[processes === 1 ? "one" : "many"].push(microseconds / result.deliveries);
    }
    progress(
      `deliver-${recipients} ${side} x${processes}: ${result.deliveriesPerSecond.toFixed(0)} deliveries/s, ` +
        `${result.messages} messages in ${result.seconds} s, slowest ${result.latencyMsMax} ms`,
    );
    return result.deliveriesPerSecond;
  };

  const many = sizes.requestsAtOnce;
  const at = await inTurn(options.runs, {
    spool: () => load("spool", many),
    fsync: () => load("fsync", many),
    syncfs: () => load("syncfs", many),
  });
  const one = await inTurn(options.runs, {
    spool: () => load("spool", 1),
    fsync: () => load("fsync", 1),
  });
  const row = `deliver-${recipients}`;
  const work = `into ${recipients} of ${sizes.mailboxes} mailboxes`;
  return [
    {
      row: `${row} x${many}`,
      work: `${work}, ${many} requests at a time, against append + fsync of each file`,
      unit: "deliveries/s",
      ours: at.spool,
      plain: { name: "append + fsync", values: at.fsync },
      target: { kind: "ratio", atLeast: wanted.fsync },
      notes: [describeCost(costs.many)],
    },
    {
      row: `${row} x1`,
      work: `${work}, one request at a time, against append + fsync of each file`,
      unit: "deliveries/s",
      ours: one.spool,
      plain: { name: "append + fsync", values: one.fsync },
      target: { kind: "ratio", atLeast: wanted.oneAtATime },
      notes: [describeCost(costs.one)],
    },
    {
      row: `${row} x${many} syncfs`,
      work: `${work}, ${many} requests at a time, against appends and one syncfs for the message`,
      unit: "deliveries/s",
      ours: at.spool,
      plain: { name: "appends + one syncfs", values: at.syncfs },
      target: { kind: "ratio", atLeast: wanted.syncfs },
    },
  ];
}

function describeCost(microseconds: readonly number[]): string {
  return `processor time of the spool process: ${formatNumber(median(microseconds))} us for each delivery`;
}

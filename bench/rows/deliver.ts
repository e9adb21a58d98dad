/** Deliveries into 15, 100 and 1,000 of 100,000 mailboxes that exist, against a plain directory. */
import type { Figure } from "../figures.ts";
import { syncDisk } from "../machine.ts";
import type { Load } from "../native.ts";
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
let prepared: Promise<SpoolProcess> | undefined;

/** The three rows use one store and one plain directory, made for the first of them. */
async function prepare(workspace: Workspace): Promise<SpoolProcess> {
  const { mailboxes } = workspace.sizes;
  progress(`making ${mailboxes} mailboxes on both sides`);
  await workspace.makeMailboxes(workspace.path(PLAIN), mailboxes);
  const spool = await workspace.mount(STORE);
  await workspace.makeMailboxes(spool.mountpoint, mailboxes);
  return spool;
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

  const load = async (side: "spool" | "fsync" | "syncfs", processes: number): Promise<number> => {
    // Neither side pays for what the other left unwritten.
    await spool.settle();
    syncDisk(workspace.directory);
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
    },
    {
      row: `${row} x1`,
      work: `${work}, one request at a time, against append + fsync of each file`,
      unit: "deliveries/s",
      ours: one.spool,
      plain: { name: "append + fsync", values: one.fsync },
      target: { kind: "ratio", atLeast: wanted.oneAtATime },
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

/** What a delivery costs in bytes that reach the device, from the first request to a clean unmount and sync. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { formatNumber, median, type Figure } from "../figures.ts";
import { deviceBytesWritten, syncDisk } from "../machine.ts";
import type { SpoolProcess } from "../spool-process.ts";
import { ioOf } from "../process-counters.ts";
import { progress, type Workspace } from "../workspace.ts";

const STORE = "written-store";
const RECIPIENTS = 1000;
/** Above this share of foreign writes the device's count says more about the machine than about the spool. */
const FOREIGN_SHARE_MAX = 0.1;

interface Written {
  readonly device: number | undefined;
  readonly process: number;
  readonly log: number;
}

export const writtenRow = {
  name: "written",
  says: "bytes written to the device for each recipient at 1,000 recipients",
  measure,
};

async function measure(workspace: Workspace): Promise<Figure[]> {
  const { sizes, options } = workspace;
  const deliveries =
    Math.ceil(sizes.writtenDeliveries / RECIPIENTS / sizes.requestsAtOnce) *
    sizes.requestsAtOnce *
    RECIPIENTS;
  const runs: Written[] = [];
  for (let run = 0; run < options.runs; run++) {
    const written = await once(workspace, deliveries, run);
    runs.push(written);
    progress(
      `written: process ${written.process}, log ${written.log}, device ${written.device ?? "unknown"} bytes`,
    );
  }
  const each = (bytes: number): number => bytes / deliveries;
  const logical = sizes.sharedBytes + sizes.privateBytes;
  const quiet = runs.every(
    ({ device, process }) => device !== undefined && device <= process * (1 + FOREIGN_SHARE_MAX),
  );
  const target = { kind: "value", atMost: 1000 } as const;
  const work = `${deliveries} deliveries, ${RECIPIENTS} recipients each, of ${logical} bytes`;
  return [
    {
      row: "written",
      work: `bytes written for each recipient: ${work}`,
      unit: "bytes",
      ours: runs.map((run) => each(quiet ? (run.device ?? Number.NaN) : run.process)),
      target,
      notes: [
        quiet
          ? "counted at the device"
          : "counted at the spool process: other programs wrote to the device meanwhile",
      ],
    },
    {
      row: "written, device",
      work: "sectors of the whole device, other programs and the file system's journal included",
      unit: "bytes",
      ours: runs.map((run) => each(run.device ?? Number.NaN)),
    },
    {
      row: "written, log",
      work: "growth of the segment files",
      unit: "bytes",
      ours: runs.map((run) => each(run.log)),
    },
    {
      row: "written, index",
      work: "the rest of what the process wrote: the index, and last pages of segments written again",
      unit: "bytes",
      ours: runs.map((run) => each(run.process - run.log - zerosAhead(run))),
      notes: [
        "at most: the kernel counts a small write into a large folio as all of it",
        `without the zeros that the log writes ahead of itself, ${formatNumber(each(median(runs.map(zerosAhead))))} bytes (docs/decisions/005)`,
      ],
    },
  ];
}

/** Wherever the log has grown, zeros were written before: but for a mebibyte, as many bytes as it has grown. */
function zerosAhead(run: Written): number {
  return run.log;
}

async function once(workspace: Workspace, deliveries: number, run: number): Promise<Written> {
  const { sizes, options } = workspace;
  workspace.remove(STORE);
  const store = options.keep ? `${STORE}-${run}` : STORE;
  progress(`written: making ${sizes.mailboxes} mailboxes`);
  const first = await workspace.mount(store);
  await workspace.makeMailboxes(first.mountpoint, sizes.mailboxes);
  // What the mailboxes themselves cost is written before the count begins.
  await first.unmount();
  const spool = await workspace.mount(store);
  await spool.settle();
  syncDisk(workspace.directory);

  const before = ioOf(spool.pid).deviceWrittenBytes;
  const logBefore = logBytes(workspace.path(store));
  const deviceBefore = deviceBytesWritten(workspace.directory);
  await deliver(workspace, spool, deliveries, run);
  const account = await spool.unmount();
  syncDisk(workspace.directory);
  const deviceAfter = deviceBytesWritten(workspace.directory);
  progress(
    `written: processor time of the spool: ${account.userSeconds} s user, ${account.systemSeconds} s system`,
  );
  const written = {
    process: account.writtenBytes - before,
    log: logBytes(workspace.path(store)) - logBefore,
    device:
      deviceAfter === undefined || deviceBefore === undefined
        ? undefined
        : deviceAfter - deviceBefore,
  };
  workspace.remove(store);
  return written;
}

async function deliver(
  { sizes, native, options }: Workspace,
  spool: SpoolProcess,
  deliveries: number,
  run: number,
): Promise<void> {
  const messages = deliveries / RECIPIENTS / sizes.requestsAtOnce;
  const seconds = 300;
  await native.run(
    "deliver_hints",
    [
      spool.mountpoint,
      sizes.requestsAtOnce,
      RECIPIENTS,
      sizes.mailboxes,
      seconds,
      options.seed + 31 * run,
      sizes.sharedBytes,
      sizes.privateBytes,
      messages,
    ],
    (seconds + 60) * 1000,
  );
}

/** Blocks that the segment files take, so that a segment that was made longer in advance counts as it should. */
function logBytes(store: string): number {
  const log = join(store, "log");
  return readdirSync(log)
    .map((name) => statSync(join(log, name)))
    .reduce((sum, { size, blocks }) => sum + Math.min(size, blocks * 512), 0);
}

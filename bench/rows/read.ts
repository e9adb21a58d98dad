/** Sequential reads of one mailbox whose messages lie scattered in the log. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "../children.ts";
import type { Figure } from "../figures.ts";
import { syncDisk } from "../machine.ts";
import { ioOf } from "../process-counters.ts";
import { inTurn } from "../turns.ts";
import type { SpoolProcess } from "../spool-process.ts";
import { progress, type Workspace } from "../workspace.ts";

const STORE = "read-store";
const PLAIN = "read-plain";
const MAILBOX = "u000000";
const BUFFER_BYTES = 1024 * 1024;
const MEGABYTE = 1e6;

export const readRow = {
  name: "read",
  says: "sequential read of a 256 MB mailbox that lies scattered in the log",
  measure,
};

async function measure(workspace: Workspace): Promise<Figure[]> {
  const { sizes, options, native } = workspace;
  const spool = await build(workspace);
  const file = join(spool.mountpoint, MAILBOX);
  const plain = workspace.path(PLAIN);
  await run("cp", [file, plain], 300_000);
  await run("cmp", [file, plain], 300_000);
  await spool.settle();
  syncDisk(workspace.directory);

  const read = async (mode: "cold" | "warm", path: string): Promise<number> => {
    if (mode === "cold") await intoPageCache(workspace.path(STORE));
    const before = ioOf(spool.pid);
    const passes = mode === "cold" ? 1 : sizes.readPassesWarm;
    const result = await native.run<{ bytes: number; bytesPerSecond: number }>(
      "read_file",
      [mode, path, BUFFER_BYTES, passes],
      300_000,
    );
    const after = ioOf(spool.pid);
    const megabytes = (bytes: number): string => (bytes / MEGABYTE).toFixed(0);
    progress(
      `read ${mode} ${path === plain ? "plain" : "spool"}: ${megabytes(result.bytesPerSecond)} MB/s; the spool process read ` +
        `${megabytes(after.readBytes - before.readBytes)} MB, ${megabytes(after.deviceReadBytes - before.deviceReadBytes)} MB of them from the device`,
    );
    return result.bytesPerSecond / MEGABYTE;
  };

  const values = await inTurn(options.runs, {
    cold: () => read("cold", file),
    warm: () => read("warm", file),
    plain: () => read("warm", plain),
  });
  await spool.unmount();
  workspace.remove(STORE);
  workspace.remove(PLAIN);
  const work = `sequential read of a mailbox of ${(sizes.readMailboxBytes / 2 ** 20).toFixed(0)} MiB`;
  return [
    {
      row: "read, not cached",
      work: `${work}, segments in the page cache, the mount's pages dropped`,
      unit: "MB/s",
      ours: values.cold,
      target: { kind: "value", atLeast: 250 },
    },
    {
      row: "read, cached",
      work: `${work}, from the kernel's cache`,
      unit: "MB/s",
      ours: values.warm,
      plain: { name: "plain file", values: values.plain },
      target: { kind: "ratio", atLeast: 0.9 },
    },
  ];
}

/** Every message is delivered to several of the mailboxes, drawn at random, by 16 senders at once. */
async function build(workspace: Workspace): Promise<SpoolProcess> {
  const { sizes, options, native } = workspace;
  const messageBytes = sizes.sharedBytes + sizes.privateBytes;
  const messages = Math.ceil(
    ((sizes.readMailboxBytes / messageBytes) * sizes.readMailboxes) / sizes.readSharedBy,
  );
  const first = await workspace.mount(STORE);
  await workspace.makeMailboxes(first.mountpoint, sizes.readMailboxes);
  // On a new mount the kernel knows no mailbox, which makes building quicker.
  await first.unmount();
  const spool = await workspace.mount(STORE);
  progress(
    `read: delivering ${messages} messages, each into ${sizes.readSharedBy} of ${sizes.readMailboxes} mailboxes`,
  );
  const seconds = 1200;
  await native.run(
    "deliver_hints",
    [
      spool.mountpoint,
      sizes.requestsAtOnce,
      sizes.readSharedBy,
      sizes.readMailboxes,
      seconds,
      options.seed,
      sizes.sharedBytes,
      sizes.privateBytes,
      Math.ceil(messages / sizes.requestsAtOnce),
    ],
    (seconds + 60) * 1000,
  );
  return spool;
}

/** The segments are read once by somebody else, so that the spool finds them in memory. */
async function intoPageCache(store: string): Promise<void> {
  const log = join(store, "log");
  const segments = readdirSync(log).map((name) => join(log, name));
  await run("sh", ["-c", 'cat "$@" > /dev/null', "cat", ...segments], 300_000);
}

/** Small requests to the mount, for tuning: nothing was promised about them. */
import type { Figure } from "../figures.ts";
import { inTurn } from "../turns.ts";
import { progress, type Workspace } from "../workspace.ts";

const STORE = "requests-store";
const PROCESSES = 4;

export const requestsRow = {
  name: "requests",
  says: "look-ups and small reads of a fresh mount from 4 processes",
  measure,
};

async function measure(workspace: Workspace): Promise<Figure[]> {
  const { sizes, options, native } = workspace;
  const first = await workspace.mount(STORE);
  await workspace.makeMailboxes(first.mountpoint, sizes.mailboxes);
  await native.run("visit", ["all", first.mountpoint, PROCESSES, sizes.mailboxes], 600_000);
  await first.unmount();

  /** Each mailbox once, on a new mount: the kernel knows no name and no page yet. */
  const visit = async (mode: "lookup" | "read"): Promise<number> => {
    const spool = await workspace.mount(STORE);
    const result = await native.run(
      "visit",
      [mode, spool.mountpoint, PROCESSES, sizes.mailboxes],
      600_000,
    );
    await spool.unmount();
    progress(`requests ${mode}: ${result.messagesPerSecond}/s`);
    return result.messagesPerSecond;
  };
  const values = await inTurn(options.runs, {
    lookup: () => visit("lookup"),
    read: () => visit("read"),
  });
  workspace.remove(STORE);
  return [
    {
      row: "requests, look-up",
      work: `stat of ${sizes.mailboxes} mailboxes, each once, ${PROCESSES} processes`,
      unit: "look-ups/s",
      ours: values.lookup,
    },
    {
      row: "requests, read",
      work: `open, read and close of ${sizes.mailboxes} small mailboxes, each once, ${PROCESSES} processes`,
      unit: "files/s",
      ours: values.read,
    },
  ];
}

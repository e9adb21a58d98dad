/** Appends of 4 KiB through POSIX, each followed by fsync, to one mailbox. */
import { join } from "node:path";
import type { Figure } from "../figures.ts";
import { syncDisk } from "../machine.ts";
import { inTurn } from "../turns.ts";
import { progress, type Workspace } from "../workspace.ts";

const STORE = "append-store";
const PLAIN = "append-plain";

export const appendRow = {
  name: "append",
  says: "append 4 KiB through POSIX + fsync to one mailbox",
  measure,
};

async function measure(workspace: Workspace): Promise<Figure[]> {
  const { sizes, options, native } = workspace;
  const spool = await workspace.mount(STORE);
  const append = async (name: string, file: string): Promise<number> => {
    await spool.settle();
    syncDisk(workspace.directory);
    const result = await native.run(
      "append_fsync",
      [file, sizes.sharedBytes, sizes.seconds],
      (sizes.seconds + 60) * 1000,
    );
    progress(`append ${name}: ${result.messagesPerSecond}/s, slowest ${result.latencyMsMax} ms`);
    return result.messagesPerSecond;
  };
  const values = await inTurn(options.runs, {
    spool: () => append("spool", join(spool.mountpoint, "mailbox")),
    plain: () => append("plain", workspace.path(PLAIN)),
  });
  await spool.unmount();
  workspace.remove(STORE);
  workspace.remove(PLAIN);
  return [
    {
      row: "append",
      work: `append ${sizes.sharedBytes} bytes through POSIX + fsync to one mailbox`,
      unit: "appends/s",
      ours: values.spool,
      plain: { name: "plain file", values: values.plain },
      target: { kind: "ratio", atLeast: 0.4 },
    },
  ];
}

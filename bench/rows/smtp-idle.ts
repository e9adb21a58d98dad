/** Memory of the front while ten thousand clients have said EHLO and nothing else. */
import { start } from "../children.ts";
import type { Figure } from "../figures.ts";
import { memoryOf } from "../process-counters.ts";
import { startPlain } from "../smtp/plain-server.ts";
import type { ServerProcess } from "../smtp/server-process.ts";
import { startSpoolServer } from "../smtp/spool-server.ts";
import { inTurn } from "../turns.ts";
import { progress, type Workspace } from "../workspace.ts";

const ROW = "smtp-idle";
const MEGABYTE = 1e6;
const DEADLINE_SECONDS = 300;

export const smtpIdleRow = {
  name: ROW,
  says: "memory of the front with idle connections",
  measure,
};

async function measure(workspace: Workspace): Promise<Figure[]> {
  const { sizes, options } = workspace;
  const empty: Record<string, number> = {};
  const one = async (name: string, server: ServerProcess, process: RegExp): Promise<number> => {
    const pid = server.pidOf(process);
    if (pid === undefined) throw new Error(`${server.name} has no process ${process.source}`);
    empty[name] = memoryOf(pid).residentBytes / MEGABYTE;
    const resident = await withIdleClients(workspace, server, () => memoryOf(pid).residentBytes);
    await server.stop();
    progress(
      `${ROW} ${name}: ${(resident / MEGABYTE).toFixed(0)} MB, ${empty[name].toFixed(0)} MB without connections`,
    );
    for (const end of ["store", "store.mnt", "store.log", "plain"])
      workspace.remove(`${ROW}-${end}`);
    return resident / MEGABYTE;
  };
  const values = await inTurn(options.runs, {
    spool: async () =>
      one(
        "spool",
        await startSpoolServer(workspace, {
          store: `${ROW}-store`,
          users: sizes.smtpUsers,
          connectionsMax: 2 * sizes.smtpIdleConnections,
        }),
        /server\/front\/main\.js/,
      ),
    plain: async () => one("plain", await startPlain(workspace, `${ROW}-plain`), /plain\.js/),
  });
  return [
    {
      row: ROW,
      work: `resident memory of the front with ${sizes.smtpIdleConnections} connections that have said EHLO`,
      unit: "MB",
      ours: values.spool,
      plain: { name: "plain server", values: values.plain },
      target: { kind: "value", atMost: 400 },
      notes: [
        `without connections: ${empty["spool"]?.toFixed(0)} MB, plain server ${empty["plain"]?.toFixed(0)} MB`,
      ],
    },
  ];
}

/** Throws when one of them was not let in, or closed while it was idle. */
async function withIdleClients(
  { native, sizes }: Workspace,
  server: ServerProcess,
  look: () => number,
): Promise<number> {
  const wanted = sizes.smtpIdleConnections;
  const argv = ["--idle", "--port", server.port("smtp"), "--connections", wanted].map(String);
  const child = start(
    native.path("smtp_load"),
    [...argv, "--deadline", String(DEADLINE_SECONDS)],
    "pipe",
  );
  let output = "";
  let errors = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  const firstLine = new Promise<void>((resolve) =>
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.includes("\n")) resolve();
    }),
  );
  await Promise.race([firstLine, ended]);
  const { standing } = JSON.parse(output.split("\n")[0] || "{}") as { standing?: number };
  let seen = Number.NaN;
  if (standing === wanted) {
    await server.settle();
    seen = look();
  }
  child.stdin?.end();
  if ((await ended) === 0 && standing === wanted) return seen;
  throw new Error(`${server.name}: ${standing ?? 0} of ${wanted} connections stand: ${errors}`);
}

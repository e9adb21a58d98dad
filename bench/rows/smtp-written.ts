/** Bytes that a delivery by SMTP sends to the device, from the first connection to the clean end of the server. */
import type { Figure } from "../figures.ts";
import { deviceBytesWritten, syncDisk } from "../machine.ts";
import { Driven } from "../smtp/drive.ts";
import { workOf } from "../smtp/pair.ts";
import { startPlain } from "../smtp/plain-server.ts";
import type { ServerProcess } from "../smtp/server-process.ts";
import { startSpoolServer } from "../smtp/spool-server.ts";
import { inTurn } from "../turns.ts";
import { progress, type Workspace } from "../workspace.ts";

const RECIPIENTS = 15;
const ROW = "smtp-written";

export const smtpWrittenRow = {
  name: ROW,
  says: `bytes written to the device for each of ${RECIPIENTS} recipients, clean shutdown included`,
  measure,
};

async function measure(workspace: Workspace): Promise<Figure[]> {
  const { sizes, options } = workspace;
  const work = workOf(workspace, RECIPIENTS, { messages: sizes.smtpWrittenMessages });
  const deliveries = work.messages * RECIPIENTS;
  const processes: Record<string, number[]> = { spool: [], plain: [] };
  const once = async (name: string, start: () => Promise<ServerProcess>): Promise<number> => {
    const server = await start();
    const driven = new Driven(server, workspace.native);
    // The mailboxes themselves are made before the count begins.
    await driven.run({ ...work, messages: Math.ceil(work.users / RECIPIENTS) });
    await server.settle();
    syncDisk(workspace.directory);
    const before = server.writtenBytes();
    const deviceBefore = deviceBytesWritten(workspace.directory);
    await driven.run(work);
    await driven.verify();
    const account = await stopAndSync(workspace, server);
    const deviceAfter = deviceBytesWritten(workspace.directory);
    const ofProcesses = (account.writtenBytes - before) / deliveries;
    const ofDevice = ((deviceAfter ?? Number.NaN) - (deviceBefore ?? Number.NaN)) / deliveries;
    processes[name]?.push(ofProcesses);
    progress(
      `${ROW} ${name}: ${ofDevice.toFixed(0)} bytes at the device, ${ofProcesses.toFixed(0)} by the server's processes`,
    );
    for (const end of ["store", "store.mnt", "store.log", "plain"])
      workspace.remove(`${ROW}-${end}`);
    return ofDevice;
  };
  const values = await inTurn(options.runs, {
    spool: () =>
      once("spool", () =>
        startSpoolServer(workspace, {
          store: `${ROW}-store`,
          users: work.users,
          connectionsMax: 2 * sizes.smtpIdleConnections,
        }),
      ),
    plain: () => once("plain", () => startPlain(workspace, `${ROW}-plain`)),
  });
  const what = `${work.messages} messages of ${work.messageBytes} bytes to ${RECIPIENTS} of ${work.users} mailboxes, then SIGTERM and sync`;
  return [
    {
      row: ROW,
      work: `bytes at the device for each delivery, everybody's: ${what}`,
      unit: "bytes",
      ours: values.spool,
      plain: { name: "plain server", values: values.plain },
      target: { kind: "value", atMost: 1200 },
    },
    {
      row: `${ROW}, processes`,
      work: "the same as the kernel counts it for the server's processes: without the journal, but a small write into a large folio counts as all of it",
      unit: "bytes",
      ours: processes["spool"] ?? [],
      plain: { name: "plain server", values: processes["plain"] ?? [] },
    },
  ];
}

async function stopAndSync(workspace: Workspace, server: ServerProcess) {
  const account = await server.stop();
  syncDisk(workspace.directory);
  return account;
}

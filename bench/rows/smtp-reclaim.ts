/**
 * Messages a second through SMTP while the store is being cleaned, against the same server with cleaning stopped. Half of
 * what is in the log is dead: the store is near its bound (docs/SPACE.md), and cleaning in a hurry.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { HintClient } from "../../fs/hints/client.ts";
import { formatNumber, median, type Figure } from "../figures.ts";
import { syncDisk } from "../machine.ts";
import { Driven, type SmtpLoad } from "../smtp/drive.ts";
import { workOf } from "../smtp/pair.ts";
import { startSpoolServer } from "../smtp/spool-server.ts";
import { inTurn } from "../turns.ts";
import { progress, type Workspace } from "../workspace.ts";

const ROW = "smtp-reclaim";
const RECIPIENTS = 15;
/** Against the other rows: cleaning a segment takes some seconds, and a run has to last for several. */
const LENGTH = 4;
const PIECE = 1024 * 1024;
const ASK_MS = 100;

export const smtpReclaimRow = {
  name: ROW,
  says: `messages with ${RECIPIENTS} recipients while the store is being cleaned, against the same without`,
  measure,
};

async function measure(workspace: Workspace): Promise<Figure[]> {
  const { sizes, options, native } = workspace;
  const usual = workOf(workspace, RECIPIENTS);
  const work = { ...usual, messages: usual.messages * LENGTH };
  const server = await startSpoolServer(workspace, {
    store: `${ROW}-store`,
    users: work.users,
    connectionsMax: 2 * sizes.smtpIdleConnections,
  });
  const driven = new Driven(server, native);
  const client = await HintClient.open(server.mailboxes);
  await client.reclaim("stop");
  await driven.run(work);
  const slowest: Record<string, number[]> = { cleaning: [], resting: [] };
  const parts: number[] = [];
  const freed: number[] = [];

  const run = async (name: string): Promise<number> => {
    const load: SmtpLoad = await driven.run(work);
    slowest[name]?.push(load.latencyMs.max);
    progress(
      `${ROW} ${name}: ${formatNumber(load.messagesPerSecond)} messages/s in ${load.seconds.toFixed(1)} s, ` +
        `half within ${load.latencyMs.p50.toFixed(0)} ms, slowest ${load.latencyMs.max.toFixed(0)} ms`,
    );
    return load.messagesPerSecond;
  };
  const settle = async (): Promise<void> => {
    fill(server.mailboxes, sizes.smtpReclaimBytes);
    await server.settle();
    syncDisk(workspace.directory);
  };
  const values = await inTurn(options.runs, {
    cleaning: async () => {
      await settle();
      const before = await client.reclaim("start");
      const watch = new Watch(client);
      const rate = await run("cleaning");
      parts.push(await watch.end());
      const after = await client.reclaim("stop");
      freed.push(after.bytesFreed - before.bytesFreed);
      progress(
        `${ROW}: cleaned in ${formatNumber((parts.at(-1) ?? 0) * 100)} % of the time, ` +
          `${formatNumber((freed.at(-1) ?? 0) / 1e6)} MB given back, longest step ${after.stepMsMax.toFixed(1)} ms`,
      );
      await emptied(client);
      return rate;
    },
    resting: async () => {
      await settle();
      const rate = await run("resting");
      await emptied(client);
      return rate;
    },
  });
  await client.close();
  await driven.verify();
  await server.stop();
  for (const end of ["store", "store.mnt", "store.log"]) workspace.remove(`${ROW}-${end}`);
  return [
    {
      row: ROW,
      work:
        `${work.messages} messages of ${work.messageBytes} bytes, ${RECIPIENTS} recipients of ${work.users} in turn, ` +
        `${work.connections} connections, while ${formatNumber(sizes.smtpReclaimBytes / 1e6)} MB of log wait, half of them dead`,
      unit: "messages/s",
      ours: values.cleaning,
      plain: { name: "without cleaning", values: values.resting },
      target: { kind: "ratio", atLeast: 0.8 },
      notes: [
        `cleaned in ${formatNumber(median(parts) * 100)} % of the time, ${formatNumber(median(freed) / 1e6)} MB given back in it`,
        `slowest message ${formatNumber(median(slowest["cleaning"] ?? []))} ms, without cleaning ${formatNumber(median(slowest["resting"] ?? []))} ms`,
      ],
    },
  ];
}

/** Two files whose bytes lie side by side in the log; then one of them is removed. */
function fill(mailboxes: string, bytes: number): void {
  const kept = fs.openSync(join(mailboxes, "kept"), "w");
  const dead = fs.openSync(join(mailboxes, "dead"), "w");
  const piece = Buffer.alloc(PIECE, "some bytes that mean nothing; ");
  let count = 0;
  for (let at = 0; at < bytes; at += PIECE) {
    piece.writeUInt32LE(count, 0);
    fs.writeSync(count % 2 === 0 ? kept : dead, piece);
    count++;
  }
  fs.fsyncSync(kept);
  fs.closeSync(kept);
  fs.closeSync(dead);
  fs.rmSync(join(mailboxes, "dead"));
}

/** The next run begins with a small store again. */
async function emptied(client: HintClient): Promise<void> {
  let status = await client.reclaim("now");
  while (status.state === "cleaning") {
    await sleep(ASK_MS);
    status = await client.reclaim("status");
  }
}

/** Asks now and then whether the store is being cleaned. */
class Watch {
  readonly #client: HintClient;
  readonly #timer: NodeJS.Timeout;
  #asked = 0;
  #cleaning = 0;

  constructor(client: HintClient) {
    this.#client = client;
    this.#timer = setInterval(() => void this.#ask(), ASK_MS);
  }

  async #ask(): Promise<void> {
    const { state } = await this.#client.reclaim("status");
    this.#asked++;
    if (state === "cleaning") this.#cleaning++;
  }

  /** The part of the time. */
  async end(): Promise<number> {
    clearInterval(this.#timer);
    await this.#ask();
    return this.#cleaning / this.#asked;
  }
}

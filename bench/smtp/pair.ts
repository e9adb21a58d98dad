/** Our server and the plain one side by side, both warm, and what one measurement of either tells. */
import { formatNumber, median } from "../figures.ts";
import { syncDisk } from "../machine.ts";
import { MICROSECONDS_PER_TICK } from "../process-counters.ts";
import { progress, type Workspace } from "../workspace.ts";
import { Driven, type SmtpLoad, type Work } from "./drive.ts";
import { startPlain } from "./plain-server.ts";
import { ticksOfKernelThreads, ticksOfMachine } from "./processor.ts";
import { startSpoolServer } from "./spool-server.ts";

export type SideName = "spool" | "plain";

export interface Measured {
  readonly load: SmtpLoad;
  /** Of the server and of the kernel for it, for each delivery. */
  readonly processorMs: number;
  /** Of the whole machine but the load generator, other programs included. */
  readonly machineMs: number;
}

export function workOf(
  { sizes }: Workspace,
  recipients: number,
  differences: Partial<Work> = {},
): Work {
  // From the costs of a message and of a recipient: some seconds for each row, on either side.
  const messages = Math.max(
    sizes.smtpConnections,
    Math.ceil((sizes.smtpMessages * 20) / (19 + recipients)),
  );
  return {
    protocol: "smtp",
    connections: sizes.smtpConnections,
    messages,
    recipients,
    users: sizes.smtpUsers,
    messageBytes: sizes.smtpMessageBytes,
    isPipelined: true,
    bouncePercent: 0,
    ...differences,
  };
}

export class Pair {
  readonly #workspace: Workspace;
  readonly #row: string;
  readonly #sides: Readonly<Record<SideName, Driven>>;

  private constructor(workspace: Workspace, row: string, sides: Record<SideName, Driven>) {
    this.#workspace = workspace;
    this.#row = row;
    this.#sides = sides;
  }

  static async start(workspace: Workspace, row: string, work: Work): Promise<Pair> {
    const { native, sizes } = workspace;
    const spool = await startSpoolServer(workspace, {
      store: `${row}-store`,
      users: work.users,
      connectionsMax: 2 * sizes.smtpIdleConnections,
    });
    const plain = await startPlain(workspace, `${row}-plain`, work.protocol);
    const pair = new Pair(workspace, row, {
      spool: new Driven(spool, native),
      plain: new Driven(plain, native),
    });
    // As many messages as are measured go before, so that both have compiled their code and made the mailboxes.
    for (const side of ["spool", "plain"] as const) await pair.#sides[side].run(work);
    return pair;
  }

  async measure(side: SideName, work: Work): Promise<Measured> {
    const driven = this.#sides[side];
    // Neither side pays for what the other left unwritten.
    for (const each of Object.values(this.#sides)) await each.server.settle();
    syncDisk(this.#workspace.directory);
    const ticks = (): number => driven.server.ticks() + ticksOfKernelThreads();
    const before = { server: ticks(), machine: ticksOfMachine() };
    const load = await driven.run(work);
    const each = (passed: number): number =>
      (passed * MICROSECONDS_PER_TICK) / 1000 / (work.messages * work.recipients);
    const loadTicks = (load.processorSeconds * 1e6) / MICROSECONDS_PER_TICK;
    const measured = {
      load,
      processorMs: each(ticks() - before.server),
      machineMs: each(ticksOfMachine() - before.machine - loadTicks),
    };
    progress(
      `${this.#row} ${side}: ${formatNumber(load.messagesPerSecond)} messages/s, ${load.messages} in ${load.seconds.toFixed(1)} s, ` +
        `half within ${load.latencyMs.p50.toFixed(0)} ms, slowest ${load.latencyMs.max.toFixed(0)} ms, ` +
        `processor ${measured.processorMs.toFixed(3)} ms (machine ${measured.machineMs.toFixed(3)} ms) for each delivery`,
    );
    return measured;
  }

  /**
   * Counts every mailbox and ends both servers. Not before: a mailbox that was read is one of which the kernel must be
   * told with each delivery, and the plain server has nobody to tell.
   */
  async stop(): Promise<void> {
    for (const driven of Object.values(this.#sides)) await driven.verify();
    for (const { server } of Object.values(this.#sides)) await server.stop();
    for (const name of ["store", "store.mnt", "store.log", "plain"]) {
      this.#workspace.remove(`${this.#row}-${name}`);
    }
  }
}

export function describeProcessor(side: string, measured: readonly Measured[]): string {
  const of = (values: readonly number[]): string => formatNumber(median(values));
  return (
    `processor time of ${side} for each delivery: ${of(measured.map((each) => each.processorMs))} ms; ` +
    `of the whole machine without the load generator: ${of(measured.map((each) => each.machineMs))} ms`
  );
}

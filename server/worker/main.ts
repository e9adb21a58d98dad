/**
 * The program of a worker process: a child of the front, which sends it its configuration first and then sessions.
 * It ends when the front is gone or has told it to, as soon as its sessions are done.
 */
import { once } from "node:events";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { assertNever } from "../../base/assert.ts";
import type { Config } from "../config/config.ts";
import type { HandOverRecord } from "../hand-over/record.ts";
import { createLog, type Log } from "../log/log.ts";
import { MESSAGES_VERSION, type FromWorker, type ToWorker } from "../messages.ts";
import { Counters } from "../metrics/counters.ts";
import { monotonicMs } from "../monotonic.ts";
import { Protocols } from "../smtp/protocol.ts";
import { COUNTERS_MS, TICK_MS } from "../ticks.ts";
import { listenForRelays } from "./relay-listener.ts";
import { loadWorkerSettings } from "./settings.ts";
import { spentBy } from "./spent.ts";
import { Words } from "./words.ts";
import { Worker, type WorkerSettings } from "./worker.ts";

const EXIT_FAILED = 1;

/** What the answered messages of the last sessions still have to be looked through for their lines in the log. */
const LAST_LINES_MS_MAX = 1_000;
const LAST_LINES_LOOK_MS = 5;

const isAlone = once(process, "disconnect");
/** Settled when all that was told is in the channel. */
let told: Promise<unknown> = Promise.resolve();

function tell(message: FromWorker): void {
  // A front that is gone is told by "disconnect".
  if (!process.connected) return;
  told = new Promise((sent) => process.send!(message, undefined, undefined, sent));
}

/** A process with one worker in it; everything that needs the configuration is made with the first one. */
class WorkerProgram {
  readonly #counters = new Counters("worker");
  readonly #words = new Words(tell);
  #log: Log | undefined;
  #worker: Worker | undefined;
  #settings: WorkerSettings | undefined;
  #isToEnd = false;
  #isRetiring = false;
  #isEnding = false;

  /** Not before the one before it has returned. */
  async configure(config: Config): Promise<void> {
    if (this.#worker === undefined) await this.#start(config);
    else await this.#reload(this.#worker, config);
  }

  take(record: HandOverRecord, socket: Socket | undefined): void {
    // The client was gone before the socket came.
    if (socket === undefined || this.#worker === undefined) return;
    if (this.#worker.take(record, socket)) this.#words.taken(record.facts.connection.id);
  }

  setStress(isOn: boolean): void {
    if (this.#worker !== undefined) this.#worker.isStress = isOn;
  }

  retire(): void {
    this.#isToEnd = true;
    this.#endIfDone();
  }

  drain(): void {
    this.#isToEnd = true;
    this.#worker?.drain();
    this.#endIfDone();
  }

  async #start(config: Config): Promise<void> {
    this.#log = createLog(config.log, "worker");
    this.#settings = await loadWorkerSettings(config);
    const worker = new Worker(
      {
        protocols: new Protocols(config, false),
        log: this.#log,
        counters: this.#counters,
        onEnded: (id) => this.#words.closed(id),
      },
      this.#settings,
    );
    const path = await listenForRelays((record, socket) => this.take(record, socket));
    this.#worker = worker;
    setInterval(() => this.#tick(worker), TICK_MS);
    setInterval(() => this.#tellCounters(), COUNTERS_MS);
    tell({ type: "ready", relay: path });
  }

  reopen(): void {
    try {
      this.#log?.reopen();
    } catch (error) {
      this.#log?.error("log file", { error: String(error) });
    }
  }

  /** The front has said already what is wrong with tables that cannot be read. */
  async #reload(worker: Worker, config: Config): Promise<void> {
    try {
      this.#log?.configure(config.log);
    } catch (error) {
      this.#log?.error("log file", { error: String(error) });
    }
    try {
      const before = this.#settings;
      this.#settings = await loadWorkerSettings(config);
      worker.configure(this.#settings);
      await before?.delivery.close();
    } catch (error) {
      this.#log?.error("not reloaded", { error: String(error) });
    }
  }

  #tick(worker: Worker): void {
    worker.tick(monotonicMs());
    if (!this.#isRetiring && !this.#isToEnd) this.#retireIfSpent(worker);
    this.#endIfDone();
  }

  #retireIfSpent({ messages }: Worker): void {
    const { workers } = this.#settings!.config;
    const spent = spentBy({ messages, residentBytes: process.memoryUsage.rss() }, workers);
    if (spent === undefined) return;
    this.#isRetiring = true;
    this.#log?.info("spent", { by: spent, messages });
    tell({ type: "retiring" });
  }

  #tellCounters(): void {
    const counters = this.#counters.snapshot();
    if (counters !== undefined) tell({ type: "counters", counters });
  }

  #endIfDone(): void {
    if (!this.#isToEnd || this.#isEnding || (this.#worker?.open ?? 0) > 0) return;
    this.#isEnding = true;
    void this.#end();
  }

  /** The last words are those of the last sessions. */
  async #end(): Promise<void> {
    const patience = AbortSignal.timeout(LAST_LINES_MS_MAX);
    while ((this.#worker?.underWay ?? 0) > 0 && !patience.aborted) await sleep(LAST_LINES_LOOK_MS);
    this.#words.flush();
    this.#tellCounters();
    await Promise.race([told, isAlone]);
    process.exit(0);
  }
}

const program = new WorkerProgram();
let configured = Promise.resolve();

process.on("message", (message: ToWorker | HandOverRecord, handle: unknown) => {
  switch (message.type) {
    case "configure":
      if (message.version !== MESSAGES_VERSION) process.exit(EXIT_FAILED);
      configured = configured
        .then(() => program.configure(message.config))
        .catch((error: unknown) => {
          process.stderr.write(`onespool worker: ${String(error)}\n`);
          process.exit(EXIT_FAILED);
        });
      break;
    case "session":
      program.take(message, handle as Socket | undefined);
      break;
    case "stress":
      program.setStress(message.isOn);
      break;
    case "reopen":
      program.reopen();
      break;
    case "retire":
      program.retire();
      break;
    case "drain":
      program.drain();
      break;
    default:
      assertNever(message);
  }
});
process.on("disconnect", () => program.drain());
// The terminal's Ctrl-C is for the supervisor; a worker ends when it is told to or its front is gone.
process.on("SIGINT", () => undefined);
process.on("SIGTERM", () => program.drain());
process.on("SIGHUP", () => undefined);

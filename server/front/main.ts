/**
 * The program of the front process: a child of the supervisor, which sends it its configuration. It binds, gives up
 * its privileges, starts its workers, and ends when the supervisor is gone or has told it to.
 */
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { createSecureContext, type SecureContext } from "node:tls";
import type { Config, Listener } from "../config/config.ts";
import { createLog, type Log } from "../log/log.ts";
import { MESSAGES_VERSION, type FromFront, type TlsMaterial, type ToFront } from "../messages.ts";
import { Counters } from "../metrics/counters.ts";
import type { CountersSnapshot } from "../metrics/snapshot.ts";
import { Totals } from "../metrics/totals.ts";
import { Protocols } from "../smtp/protocol.ts";
import { COUNTERS_MS, TICK_MS } from "../ticks.ts";
import { loadChecks } from "../worker/settings.ts";
import { Front, type FrontSettings } from "./front.ts";
import { Listeners } from "./listeners.ts";
import { dropPrivileges } from "./privileges.ts";
import type { WorkerProcess } from "./worker-process.ts";
import { WorkerProcesses } from "./worker-processes.ts";

const EXIT_FAILED = 1;
const OWN = "front";

function tell(message: FromFront, then: () => void = () => undefined): void {
  if (process.connected) process.send!(message, undefined, undefined, then);
  else then();
}

function secureContextOf(tls: TlsMaterial | undefined): SecureContext | undefined {
  if (tls === undefined) return undefined;
  return createSecureContext({ cert: tls.certificate, key: tls.key, minVersion: "TLSv1.2" });
}

/** Throws RecipientsError, or what OpenSSL says of the certificate. */
async function loadSettings(config: Config, tls: TlsMaterial | undefined): Promise<FrontSettings> {
  return { config, checks: await loadChecks(config), secureContext: secureContextOf(tls) };
}

class FrontProgram {
  readonly #counters = new Counters("front");
  readonly #totals = new Totals<WorkerProcess | typeof OWN>();
  readonly #listeners = new Listeners();
  #log: Log | undefined;
  #front: Front | undefined;
  #workers: WorkerProcesses | undefined;
  #hasNews = false;
  #isDraining = false;

  async configure(config: Config, tls: TlsMaterial | undefined): Promise<void> {
    if (this.#log === undefined) await this.#start(config, tls);
    else await this.#reload(config, tls);
  }

  /** Accepts no more, and ends when all sessions have. */
  async drain(): Promise<void> {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#listeners.close();
    this.#front?.drain();
    while ((this.#front?.open ?? 0) > 0) await sleep(TICK_MS);
    await this.#workers?.drain();
    this.#push();
    process.exit(0);
  }

  async #start(config: Config, tls: TlsMaterial | undefined): Promise<void> {
    const settings = await loadSettings(config, tls);
    // Who comes before the workers are there waits for them.
    const early: [Socket, Listener][] = [];
    await this.#listeners.listen(config.listen, (socket, listener) => {
      if (this.#front === undefined) early.push([socket, listener]);
      else this.#front.accept(socket, listener);
    });
    if (config.user !== undefined) dropPrivileges(config.user);
    const log = createLog(config.log, "front");
    this.#log = log;
    const workers = new WorkerProcesses(config, log, {
      closed: (ids) => this.#front?.workerClosed(ids),
      counters: (worker, counters) => {
        this.#hasNews = true;
        this.#totals.update(worker, counters as CountersSnapshot);
      },
      ended: (worker) => {
        this.#totals.retire(worker as WorkerProcess);
        this.#front?.workerEnded(worker);
      },
    });
    this.#workers = workers;
    await workers.start();
    const front = new Front(
      {
        protocols: new Protocols(config, tls !== undefined),
        workers,
        log,
        counters: this.#counters,
        onStress: (isOn) => workers.setStress(isOn),
      },
      settings,
    );
    this.#front = front;
    for (const [socket, listener] of early) front.accept(socket, listener);
    setInterval(() => {
      const now = Date.now();
      front.tick(now);
      workers.tick(now);
      this.#counters.setQueue("handOver", workers.pending);
    }, TICK_MS);
    setInterval(() => this.#push(), COUNTERS_MS);
    tell({ type: "ready", listening: this.#listeners.bound });
  }

  async #reload(config: Config, tls: TlsMaterial | undefined): Promise<void> {
    try {
      const settings = await loadSettings(config, tls);
      this.#log?.configure(config.log);
      this.#front?.configure(settings);
      this.#workers?.configure(config);
      tell({ type: "reloaded", problem: undefined });
    } catch (error) {
      tell({ type: "reloaded", problem: String(error) });
    }
  }

  #push(): void {
    const own = this.#counters.snapshot();
    if (own === undefined && !this.#hasNews) return;
    this.#hasNews = false;
    this.#totals.update(OWN, own);
    tell({ type: "counters", counters: this.#totals.sum() });
  }
}

const program = new FrontProgram();

process.on("message", (message: ToFront) => {
  switch (message.type) {
    case "configure":
      if (message.version !== MESSAGES_VERSION) process.exit(EXIT_FAILED);
      program.configure(message.config, message.tls).catch((error: unknown) => {
        const text = error instanceof Error ? error.message : String(error);
        tell({ type: "failed", message: text }, () => process.exit(EXIT_FAILED));
      });
      break;
    case "drain":
      void program.drain();
      break;
  }
});
process.on("disconnect", () => void program.drain());
process.on("SIGTERM", () => void program.drain());
// For the supervisor, which tells what they mean.
process.on("SIGINT", () => undefined);
process.on("SIGHUP", () => undefined);

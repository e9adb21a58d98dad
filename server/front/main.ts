/**
 * The program of the front process: a child of the supervisor, which sends it its configuration. It binds, gives up
 * its privileges, starts its workers, and ends when the supervisor is gone or has told it to.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { createSecureContext, type SecureContext } from "node:tls";
import { assertNever } from "../../base/assert.ts";
import { loadChecks } from "../checks/load-checks.ts";
import type { Config } from "../config/config.ts";
import { createLog, type Log } from "../log/log.ts";
import { MESSAGES_VERSION, type FromFront, type TlsMaterial, type ToFront } from "../messages.ts";
import { Counters } from "../metrics/counters.ts";
import { readSnapshot } from "../metrics/read-snapshot.ts";
import { Totals } from "../metrics/totals.ts";
import { monotonicMs } from "../monotonic.ts";
import { removeStaleRelayDirectories } from "../hand-over/relay-directory.ts";
import { dropPrivileges } from "../process/privileges.ts";
import { Protocols } from "../smtp/protocol.ts";
import { COUNTERS_MS, TICK_MS } from "../ticks.ts";
import { Front, type FrontSettings } from "./front.ts";
import { Listeners } from "./listeners.ts";
import type { WorkerProcess } from "./worker-process.ts";
import { WorkerProcesses } from "./worker-processes.ts";

const EXIT_FAILED = 1;
const OWN = "front";

function tell(message: FromFront, then: () => void = () => undefined): void {
  if (process.connected) process.send!(message, undefined, undefined, then);
  else then();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
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
  /** What holds: the last one that could be used. */
  #config: Config | undefined;
  #front: Front | undefined;
  #workers: WorkerProcesses | undefined;
  #hasNews = false;
  #isDraining = false;

  /** Not before the one before it has returned. */
  async configure(config: Config, tls: TlsMaterial | undefined): Promise<void> {
    if (this.#config === undefined) await this.#start(config, tls);
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
    this.#push(() => process.exit(0));
  }

  async #start(config: Config, tls: TlsMaterial | undefined): Promise<void> {
    const settings = await loadSettings(config, tls);
    await this.#listeners.listen(config.listen, {
      earlyMax: config.limits.connectionsMax,
      failed: ({ address, port }, error) =>
        this.#log?.error("accept failed", { address, port, error: String(error) }),
    });
    if (config.user !== undefined) dropPrivileges(config.user);
    await removeStaleRelayDirectories();
    const log = createLog(config.log, "front");
    this.#log = log;
    const workers = new WorkerProcesses(config, log, {
      closed: (ids) => this.#front?.workerClosed(ids),
      counters: (worker, counters) => {
        this.#hasNews = true;
        this.#totals.update(worker, readSnapshot(counters));
      },
      ended: (worker) => {
        this.#hasNews = true;
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
    this.#config = config;
    this.#listeners.open((socket, listener) => front.accept(socket, listener));
    setInterval(() => {
      const now = monotonicMs();
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
      this.#config = config;
      tell({ type: "reloaded", problem: undefined });
    } catch (error) {
      this.reopen();
      tell({ type: "reloaded", problem: messageOf(error) });
    }
  }

  /** A rotation may be why a reload came that cannot be used otherwise. */
  reopen(): void {
    try {
      this.#log?.reopen();
    } catch (error) {
      this.#log?.error("log file", { error: messageOf(error) });
    }
    this.#workers?.reopen();
  }

  #push(then: () => void = () => undefined): void {
    const own = this.#counters.snapshot();
    if (own === undefined && !this.#hasNews) {
      then();
      return;
    }
    this.#hasNews = false;
    this.#totals.update(OWN, own);
    tell({ type: "counters", counters: this.#totals.sum() }, then);
  }
}

const program = new FrontProgram();
let configured = Promise.resolve();

async function configure(config: Config, tls: TlsMaterial | undefined): Promise<void> {
  try {
    await program.configure(config, tls);
  } catch (error) {
    // Whatever waits behind it must not begin.
    await new Promise<never>(() => {
      tell({ type: "failed", message: messageOf(error) }, () => process.exit(EXIT_FAILED));
    });
  }
}

process.on("message", (message: ToFront) => {
  switch (message.type) {
    case "configure":
      if (message.version !== MESSAGES_VERSION) process.exit(EXIT_FAILED);
      configured = configured.then(() => configure(message.config, message.tls));
      break;
    case "reopen":
      program.reopen();
      break;
    case "drain":
      void program.drain();
      break;
    default:
      assertNever(message);
  }
});
process.on("disconnect", () => void program.drain());
process.on("SIGTERM", () => void program.drain());
// For the supervisor, which tells what they mean.
process.on("SIGINT", () => undefined);
process.on("SIGHUP", () => undefined);

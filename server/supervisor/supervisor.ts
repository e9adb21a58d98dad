/**
 * The process that `onespool serve` is: it starts spool and front, starts them again when they end, and ends them in order.
 *
 *     starting -- both ready --> serving -- SIGTERM --> draining -- front ended --> closing -- spool ended --> done
 *         \________________________________|________________|__________________________|
 *                       a failure, or a second SIGTERM: ending at once
 *
 * It handles no mail and serves no mount. Its children end when their channels to it close, so that none is left
 * however it ends. Not here: workers, which are the front's children.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { assertNever } from "../../base/assert.ts";
import { Lives } from "../../fs/takeover/lives.ts";
import { formatEndpoint } from "../config/values.ts";
import type { Config, Listener } from "../config/config.ts";
import type { Account } from "../config/accounts.ts";
import type { PendingAge } from "../delivery/pending-age.ts";
import { createLog, type Log } from "../log/log.ts";
import { MESSAGES_VERSION, type TlsMaterial, type ToFront } from "../messages.ts";
import { Counters } from "../metrics/counters.ts";
import { readSnapshot } from "../metrics/read-snapshot.ts";
import type { CountersSnapshot } from "../metrics/snapshot.ts";
import { Totals } from "../metrics/totals.ts";
import { AccountError, accountOf } from "../process/privileges.ts";
import { systemClock } from "./clock.ts";
import { readFrontMessage } from "./front-messages.ts";
import { forkFront, FRONT_PROGRAM } from "./front-process.ts";
import { KeptProcess, type Word } from "./kept-process.ts";
import { makeLogFile } from "./log-file.ts";
import { mailboxDirectories } from "./mailbox-directories.ts";
import { serveMetrics, type MetricsEndpoint } from "./metrics-endpoint.ts";
import { PendingWatch } from "./pending-watch.ts";
import { reloaded } from "./reload.ts";
import { bindingOf, detachMount, hearSpool, spawnSpool, spoolEnded } from "./spool-process.ts";
import { StartFailure } from "./start-failure.ts";
import { notifySystemd } from "./systemd.ts";

export interface SuperviseOptions {
  /** The configuration, read anew each time; throws with a message for people. */
  readonly loadConfig: () => Config;
  /** Throws with a message for people. */
  readonly readTls: (config: Config) => TlsMaterial | undefined;
  readonly pendingOf: (mount: string) => Promise<PendingAge>;
  /** Everything answers: lines for people. */
  readonly onReady: (lines: readonly string[]) => void;
  /** In tests another one. */
  readonly frontProgram?: string;
  /** How long sessions may take to end. */
  readonly drainMsMax?: number;
}

const EXIT_FAILED = 1;
const DRAIN_MS_MAX = 30_000;
/** What a spool that was told twice to end may take. */
const END_MS_MAX = 5_000;

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Runs a step of the start; what it throws is why there is none. */
function starting<T>(step: () => T, prefix = ""): T {
  try {
    return step();
  } catch (error) {
    throw new StartFailure(`${prefix}${messageOf(error)}`, EXIT_FAILED, { cause: error });
  }
}

/** What the front is told. */
interface Told {
  readonly config: Config;
  readonly tls: TlsMaterial | undefined;
}

/** "drain" after the first signal to end, "now" after the second. */
type Stopping = "no" | "drain" | "now";

class Supervisor {
  readonly #options: SuperviseOptions;
  readonly #account: Account | undefined;
  readonly #log: Log;
  readonly #counters = new Counters("supervisor");
  readonly #totals = new Totals<"supervisor" | "front">();
  readonly #lives: Lives;
  readonly #spool: KeptProcess;
  readonly #front: KeptProcess;
  /** With what the front has said that it can work; a new front is started with it. */
  #config: Config;
  #tls: TlsMaterial | undefined;
  /** What the front was told since and has not answered, in order. */
  #candidates: Told[] = [];
  /** The last reload while there was no front. */
  #waiting: Told | undefined;
  #metrics: MetricsEndpoint | undefined;
  #pending: PendingWatch | undefined;
  #spoolLine = "";
  #listening: readonly Listener[] = [];
  #isServing = false;
  #stopping: Stopping = "no";
  readonly #stopped: Promise<void>;
  #stop: () => void = () => undefined;
  readonly #ended: Promise<undefined>;
  #endNow: () => void = () => undefined;

  constructor(options: SuperviseOptions, config: Config) {
    this.#options = options;
    this.#config = config;
    this.#tls = starting(() => options.readTls(config));
    this.#account = receivingAccount(config);
    this.#log = starting(() => openLog(config, this.#account), "log.file: ");
    this.#stopped = new Promise((stop) => (this.#stop = stop));
    this.#ended = new Promise((endNow) => (this.#endNow = () => endNow(undefined)));
    const lives = new Lives(config.spool.mount);
    this.#lives = lives;
    this.#spool = new KeptProcess(
      {
        name: "spool",
        spawn: () => spawnSpool(lives, this.#config.spool, this.#account?.uid),
        hear: (message) =>
          hearSpool(message, (started) => {
            lives.ready(started);
            this.#spoolLine = started.ready;
          }),
        onEnded: (code, servedMs) => spoolEnded(lives, code, servedMs),
        onRestart: () => this.#counters.restarted("spool"),
        backOff: { delayAfter: () => lives.delayMs },
        onStuck: (pid) => lives.stuck(pid),
      },
      this.#log,
      systemClock,
    );
    this.#front = new KeptProcess(
      {
        name: "front",
        spawn: () => {
          const child = forkFront(options.frontProgram ?? FRONT_PROGRAM);
          // Before anything else that it hears.
          child.send(configure({ config: this.#config, tls: this.#tls }), () => undefined);
          return child;
        },
        hear: (message) => this.#hearFront(message),
        onEnded: () => this.#frontEnded(),
        onRestart: () => this.#counters.restarted("front"),
      },
      this.#log,
      systemClock,
    );
  }

  async run(): Promise<number> {
    process.on("SIGTERM", () => this.#told("SIGTERM"));
    process.on("SIGINT", () => this.#told("SIGINT"));
    process.on("SIGHUP", () => this.#reload());
    try {
      await Promise.race([this.#start(), this.#stopped]);
      await this.#stopped;
      return await this.#close();
    } catch (error) {
      await this.#close();
      throw error;
    }
  }

  async #start(): Promise<void> {
    await this.#spool.start();
    if (this.#isStopping()) return;
    await this.#makeDirectories();
    const { metrics } = this.#config;
    if (metrics !== undefined) this.#metrics = await this.#listenForMetrics(metrics);
    if (this.#isStopping()) return;
    await this.#front.start();
    if (this.#isStopping()) return;
    this.#isServing = true;
    const { mount } = this.#config.spool;
    this.#pending = new PendingWatch(
      () => this.#options.pendingOf(mount),
      this.#counters,
      this.#log,
    );
    void this.#pending.look();
    this.#options.onReady(this.#readyLines());
    this.#log.info("serving", { store: this.#config.spool.store, mount });
    notifySystemd("READY=1");
  }

  /** It changes while the start waits for something. */
  #isStopping(): boolean {
    return this.#stopping !== "no";
  }

  async #listenForMetrics(address: NonNullable<Config["metrics"]>): Promise<MetricsEndpoint> {
    try {
      return await serveMetrics(
        address,
        () => this.#sum(),
        (error) => this.#log.error("metrics", { problem: messageOf(error) }),
      );
    } catch (error) {
      const isTaken = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
      const reason = isTaken ? "the port is in use" : messageOf(error);
      const text = `metrics: ${formatEndpoint(address)}: ${reason}`;
      throw new StartFailure(text, EXIT_FAILED, { cause: error });
    }
  }

  #readyLines(): string[] {
    const lines = [this.#spoolLine];
    for (const listener of this.#listening) {
      lines.push(`listening: ${listener.protocol} ${formatEndpoint(listener)}`);
    }
    const { metrics } = this.#config;
    if (metrics !== undefined && this.#metrics !== undefined) {
      const endpoint = formatEndpoint({ address: metrics.address, port: this.#metrics.port });
      lines.push(`metrics: http://${endpoint}/metrics`);
    }
    return lines;
  }

  #sum(): CountersSnapshot {
    this.#totals.update("supervisor", this.#counters.snapshot());
    return this.#totals.sum();
  }

  #hearFront(said: unknown): Word {
    const message = readFrontMessage(said);
    if (message === undefined) {
      this.#log.error("the front says what it should not");
      return undefined;
    }
    switch (message.type) {
      case "ready":
        this.#listening = message.listening;
        if (this.#waiting !== undefined) this.#propose(this.#waiting);
        return { kind: "ready" };
      case "failed":
        return { kind: "failed", message: message.message, exitCode: EXIT_FAILED };
      case "reloaded":
        this.#answered(this.#candidates.shift(), message.problem);
        return undefined;
      case "counters":
        this.#totals.update("front", readSnapshot(message.counters));
        return undefined;
      default:
        return assertNever(message);
    }
  }

  #frontEnded(): void {
    this.#totals.retire("front");
    if (this.#candidates.length === 0) return;
    this.#log.error("configuration kept as it was", { problem: "the front ended over it" });
    this.#candidates = [];
  }

  /** It holds from the moment on that the front has taken it: one that it cannot take must not be what it is started with. */
  #propose(told: Told): void {
    this.#waiting = undefined;
    this.#candidates.push(told);
    this.#front.send(configure(told));
  }

  #answered(told: Told | undefined, problem: string | undefined): void {
    if (problem !== undefined) {
      this.#log.error("the front keeps its configuration", { problem });
      return;
    }
    if (told === undefined) return;
    this.#config = told.config;
    this.#tls = told.tls;
    this.#reopenLog();
    this.#log.info("configuration reloaded");
    void this.#makeDirectories();
  }

  /** Whatever is wrong with the files, the logs are opened anew: a rotation may be why the signal came. */
  #reload(): void {
    if (!this.#isServing || this.#isStopping()) return;
    this.#reopenLog();
    const told = this.#read();
    if (told === undefined) {
      this.#front.send({ type: "reopen" } satisfies ToFront);
      return;
    }
    this.#makeLogFile(told.config);
    if (this.#front.isRunning) this.#propose(told);
    else this.#waiting = told;
  }

  /** Undefined if what the files say cannot be used. */
  #read(): Told | undefined {
    try {
      const read = this.#options.loadConfig();
      const tls = this.#options.readTls(read);
      const { config, needRestart } = reloaded(this.#config, read);
      if (needRestart.length > 0) this.#log.warn("only a restart changes these", { needRestart });
      return { config, tls };
    } catch (error) {
      this.#log.error("configuration kept as it was", { problem: messageOf(error) });
      return undefined;
    }
  }

  /** The receiving account could not: it may make mailboxes, and no directories. */
  async #makeDirectories(): Promise<void> {
    const { recipients, spool } = this.#config;
    for (const directory of mailboxDirectories(recipients)) {
      try {
        await mkdir(join(spool.mount, directory), { recursive: true });
      } catch (error) {
        this.#log.error("no directory for mailboxes", { directory, problem: messageOf(error) });
      }
    }
  }

  /** The front opens it, which could not make it. */
  #makeLogFile({ log: { file } }: Config): void {
    try {
      if (file !== undefined) makeLogFile(file, this.#account);
    } catch (error) {
      this.#log.error("log file", { problem: messageOf(error) });
    }
  }

  #reopenLog(): void {
    this.#makeLogFile(this.#config);
    try {
      this.#log.configure(this.#config.log);
    } catch (error) {
      this.#log.error("log file kept as it was", { problem: messageOf(error) });
    }
  }

  #told(signal: string): void {
    if (this.#stopping === "now") return;
    this.#log.info(this.#stopping === "no" ? "draining" : "ending at once", { signal });
    if (this.#stopping === "no") {
      this.#stopping = "drain";
      this.#stop();
    } else {
      this.#stopping = "now";
      this.#endNow();
    }
  }

  /** Front first, which needs the spool to finish. Resolves with the exit code. */
  async #close(): Promise<number> {
    this.#pending?.close();
    notifySystemd("STOPPING=1");
    const frontEnded = this.#front.finish();
    this.#front.send({ type: "drain" } satisfies ToFront);
    const patience = setTimeout(() => {
      this.#log.warn("sessions are still open: ending them", { waitedMs: this.#drainMsMax });
      this.#front.killGroup();
    }, this.#drainMsMax);
    await Promise.race([frontEnded, this.#ended]);
    clearTimeout(patience);
    this.#front.killGroup();
    await frontEnded;
    const isClean = await this.#closeSpool();
    // One that died, or was told to end before it could answer, has not taken its mount away.
    const { mount } = this.#config.spool;
    const isLeft = !isClean && this.#spool.wasReady && this.#lives.abort();
    this.#lives.close();
    if (isLeft) await detachMount(mount);
    this.#metrics?.close();
    this.#log.info("ended", { isClean });
    this.#log.flush();
    return isClean ? 0 : EXIT_FAILED;
  }

  get #drainMsMax(): number {
    return this.#options.drainMsMax ?? DRAIN_MS_MAX;
  }

  async #closeSpool(): Promise<boolean> {
    const ended = this.#spool.finish();
    this.#spool.signal("SIGTERM");
    const isClean = await Promise.race([ended, this.#ended]);
    if (isClean !== undefined) return isClean;
    // A second signal of whatever kind ends it without closing the store; two of one kind may arrive as one.
    this.#spool.signal("SIGINT");
    const patience = setTimeout(() => {
      this.#spool.killGroup();
      void detachMount(this.#config.spool.mount);
    }, END_MS_MAX);
    await ended;
    clearTimeout(patience);
    return false;
  }
}

function configure({ config, tls }: Told): ToFront {
  return { type: "configure", version: MESSAGES_VERSION, config, tls };
}

function receivingAccount({ user, spool }: Config): Account | undefined {
  if (user === undefined) return undefined;
  try {
    const account = accountOf(user);
    if (account.uid === process.getuid?.()) return undefined;
    if (bindingOf(spool) === "kernel") return account;
  } catch (error) {
    if (error instanceof AccountError) throw new StartFailure(error.message, EXIT_FAILED);
    throw error;
  }
  throw new StartFailure(
    "user: only the kernel binding knows the account from others; as root use that one",
    EXIT_FAILED,
  );
}

function openLog(config: Config, account: Account | undefined): Log {
  const { file } = config.log;
  if (file !== undefined) makeLogFile(file, account);
  return createLog(config.log, "supervisor");
}

/** Resolves with the exit code when everything has ended; throws StartFailure if it cannot begin, and what `loadConfig` throws. */
export async function supervise(options: SuperviseOptions): Promise<number> {
  return new Supervisor(options, options.loadConfig()).run();
}

/**
 * The workers of a front: as many as configured, those that die, have done their messages or have another memory limit
 * than is configured now replaced.
 *
 *     starting -- "ready" --> taking -- "retiring" --> leaving -- its successor is ready --> draining -- exit
 *         \______________________ exit: started again after a while ______/
 *
 * Invariants:
 * - `ports` are the taking and the leaving ones: one that leaves takes sessions until its successor does;
 * - starting, taking and those that wait to be started again are together as many as are wanted, or more after a
 *   reload wants fewer;
 * - a draining worker is told so when no hand-over to it is under way: it ends with its last session, and one that was
 *   still to come would be lost. Its sessions go on, unless the server ends.
 */
import type { Config } from "../config/config.ts";
import type { WorkerPool, WorkerPort } from "../hand-over/worker-port.ts";
import type { Log } from "../log/log.ts";
import { monotonicMs } from "../monotonic.ts";
import { BackOff } from "../process/back-off.ts";
import { WorkerProcess, type WorkerEvents } from "./worker-process.ts";

export interface PoolEvents {
  closed(ids: readonly string[]): void;
  counters(worker: WorkerProcess, counters: unknown): void;
  ended(worker: WorkerPort): void;
}

/** So many of them ended before all were ready for the first time: another try would end as well. */
const FIRST_DEATHS_MAX = 3;

export class WorkersError extends Error {
  override name = "WorkersError";
  readonly code = "WORKERS_END";
}

interface Kept {
  state: "starting" | "taking" | "leaving" | "draining";
  /** What it was started with. */
  readonly memoryMiBMax: number;
  told: "nothing" | "retire" | "drain";
}

export class WorkerProcesses implements WorkerPool {
  readonly #log: Log;
  readonly #events: PoolEvents;
  readonly #all = new Map<WorkerProcess, Kept>();
  readonly #backOff = new BackOff();
  #ports: readonly WorkerProcess[] = [];
  #config: Config;
  #wanted = 0;
  /** Timers of workers that will be started again. */
  #restarts = 0;
  #isStress = false;
  #starting: { ready: () => void; fail: (error: WorkersError) => void; deaths: number } | undefined;
  #onEmpty: (() => void) | undefined;

  constructor(config: Config, log: Log, events: PoolEvents) {
    this.#config = config;
    this.#log = log;
    this.#events = events;
  }

  get ports(): readonly WorkerProcess[] {
    return this.#ports;
  }

  /** Hand-overs that no worker has acknowledged yet. */
  get pending(): number {
    let pending = 0;
    for (const worker of this.#all.keys()) pending += worker.pending;
    return pending;
  }

  /** Resolves when all of them take sessions; rejects with WorkersError when they cannot be started. Once. */
  start(): Promise<void> {
    this.#wanted = this.#config.workers.count;
    return new Promise<void>((ready, fail) => {
      this.#starting = { ready, fail, deaths: 0 };
      this.#balance();
    });
  }

  reopen(): void {
    for (const worker of this.#all.keys()) worker.tell({ type: "reopen" });
  }

  configure(config: Config): void {
    this.#config = config;
    for (const worker of this.#all.keys()) worker.configure(config);
    if (this.#wanted === 0) return;
    this.#wanted = config.workers.count;
    for (const [worker, kept] of this.#all) this.#replaceIfOld(worker, kept);
    this.#balance();
  }

  setStress(isOn: boolean): void {
    this.#isStress = isOn;
    for (const worker of this.#all.keys()) worker.tell({ type: "stress", isOn });
  }

  tick(now: number): void {
    for (const worker of this.#all.keys()) worker.tick(now);
    this.#tellToDrain();
  }

  /** None is started any more; resolves when all have finished what they have. */
  drain(): Promise<void> {
    this.#wanted = 0;
    for (const kept of this.#all.values()) kept.state = "draining";
    this.#changed();
    this.#tellToDrain();
    if (this.#all.size === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onEmpty = resolve));
  }

  #spawn(): void {
    const events: WorkerEvents = {
      ready: (worker) => this.#ready(worker),
      closed: (ids) => this.#events.closed(ids),
      counters: (worker, counters) => this.#events.counters(worker, counters),
      retiring: (worker) => this.#retiring(worker),
      ended: (worker, how) => this.#ended(worker, how),
    };
    const { memoryMiBMax } = this.#config.workers;
    const kept: Kept = { state: "starting", memoryMiBMax, told: "nothing" };
    this.#all.set(new WorkerProcess(this.#config, events), kept);
  }

  /** Starts those that are missing and lets go of those that are too many. */
  #balance(): void {
    const staying = this.#count("starting") + this.#count("taking") + this.#restarts;
    for (let count = staying; count < this.#wanted; count++) this.#spawn();
    let surplus = this.#ports.length - this.#wanted;
    for (const state of ["leaving", "taking"] as const) {
      for (const [worker, kept] of this.#all) {
        if (surplus <= 0) break;
        if (kept.state !== state) continue;
        this.#log.info("worker retires", { worker: worker.pid });
        kept.state = "draining";
        surplus--;
      }
    }
    this.#changed();
    this.#tellToDrain();
  }

  #count(state: Kept["state"]): number {
    let count = 0;
    for (const kept of this.#all.values()) if (kept.state === state) count++;
    return count;
  }

  #changed(): void {
    const ports = [...this.#all].filter(
      ([, { state }]) => state === "taking" || state === "leaving",
    );
    this.#ports = ports.map(([worker]) => worker);
  }

  #tellToDrain(): void {
    const word = this.#wanted === 0 ? "drain" : "retire";
    for (const [worker, kept] of this.#all) {
      if (kept.state !== "draining" || kept.told === word || worker.pending > 0) continue;
      kept.told = word;
      worker.tell({ type: word });
    }
  }

  #replaceIfOld(worker: WorkerProcess, kept: Kept): void {
    if (kept.state !== "taking") return;
    if (kept.memoryMiBMax === this.#config.workers.memoryMiBMax) return;
    this.#log.info("worker is replaced for its memory limit", { worker: worker.pid });
    kept.state = "leaving";
  }

  #ready(worker: WorkerProcess): void {
    const kept = this.#all.get(worker);
    if (kept?.state !== "starting") return;
    kept.state = "taking";
    if (this.#isStress) worker.tell({ type: "stress", isOn: true });
    this.#log.info("worker ready", { worker: worker.pid });
    this.#replaceIfOld(worker, kept);
    this.#changed();
    if (this.#ports.length >= this.#wanted) {
      this.#starting?.ready();
      this.#starting = undefined;
    }
    this.#balance();
  }

  #retiring(worker: WorkerProcess): void {
    const kept = this.#all.get(worker);
    if (kept?.state !== "taking") return;
    kept.state = "leaving";
    this.#balance();
  }

  #ended(worker: WorkerProcess, how: string): void {
    const state = this.#all.get(worker)?.state;
    this.#all.delete(worker);
    this.#changed();
    this.#events.ended(worker);
    if (this.#all.size === 0) this.#onEmpty?.();
    if (state === "draining") {
      this.#log.info("worker ended", { worker: worker.pid, how });
      return;
    }
    if (this.#starting !== undefined && ++this.#starting.deaths >= FIRST_DEATHS_MAX) {
      this.#starting.fail(new WorkersError(`workers end before they are ready (${how})`));
      return;
    }
    const delayMs = this.#backOff.delayAfter(monotonicMs() - worker.startedAt);
    this.#log.error("worker ended unasked", { worker: worker.pid, how, restartMs: delayMs });
    // The successor of one that was leaving is there or on its way.
    if (state === "leaving") return;
    this.#restarts++;
    setTimeout(() => {
      this.#restarts--;
      this.#balance();
    }, delayMs);
  }
}

/**
 * The workers of a front: as many as configured, those that die or have done their messages replaced.
 *
 *     starting -- "ready" --> taking sessions -- "retiring" --> ending -- exit
 *         \____________________ exit ____________________________/
 */
import type { Config } from "../config/config.ts";
import type { WorkerPool, WorkerPort } from "../hand-over/worker-port.ts";
import type { Log } from "../log/log.ts";
import type { ToWorker } from "../messages.ts";
import { BackOff } from "../supervisor/back-off.ts";
import { WorkerProcess, type WorkerEvents } from "./worker-process.ts";

export interface PoolEvents {
  closed(ids: readonly string[]): void;
  counters(worker: WorkerProcess, counters: unknown): void;
  ended(worker: WorkerPort): void;
}

export class WorkerProcesses implements WorkerPool {
  readonly #log: Log;
  readonly #events: PoolEvents;
  readonly #all = new Set<WorkerProcess>();
  readonly #backOff = new BackOff();
  #ports: readonly WorkerProcess[] = [];
  #config: Config;
  #wanted = 0;
  #isStress = false;
  #onReady: (() => void) | undefined;
  #onEmpty: (() => void) | undefined;

  constructor(config: Config, log: Log, events: PoolEvents) {
    this.#config = config;
    this.#log = log;
    this.#events = events;
  }

  get ports(): readonly WorkerPort[] {
    return this.#ports;
  }

  /** Hand-overs that no worker has acknowledged yet. */
  get pending(): number {
    let pending = 0;
    for (const worker of this.#all) pending += worker.pending;
    return pending;
  }

  /** Resolves when all of them take sessions. Once. */
  start(): Promise<void> {
    this.#wanted = this.#config.workers.count;
    const ready = new Promise<void>((resolve) => (this.#onReady = resolve));
    for (let count = 0; count < this.#wanted; count++) this.#spawn();
    return ready;
  }

  configure(config: Config): void {
    this.#config = config;
    for (const worker of this.#all) worker.configure(config);
  }

  setStress(isOn: boolean): void {
    this.#isStress = isOn;
    this.#tellAll({ type: "stress", isOn });
  }

  tick(now: number): void {
    for (const worker of this.#all) worker.tick(now, this.#config.limits.handOverMs);
  }

  /** None is started any more; resolves when all have finished what they have. */
  drain(): Promise<void> {
    this.#wanted = 0;
    this.#ports = [];
    this.#tellAll({ type: "drain" });
    if (this.#all.size === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onEmpty = resolve));
  }

  #tellAll(message: ToWorker): void {
    for (const worker of this.#all) worker.tell(message);
  }

  #spawn(): void {
    const events: WorkerEvents = {
      ready: (worker) => this.#ready(worker),
      closed: (ids) => this.#events.closed(ids),
      counters: (worker, counters) => this.#events.counters(worker, counters),
      retiring: (worker) => this.#retiring(worker),
      ended: (worker, how) => this.#ended(worker, how),
    };
    this.#all.add(new WorkerProcess(this.#config, events));
  }

  #ready(worker: WorkerProcess): void {
    if (this.#wanted === 0) {
      worker.tell({ type: "drain" });
      return;
    }
    this.#ports = [...this.#ports, worker];
    if (this.#isStress) worker.tell({ type: "stress", isOn: true });
    this.#log.info("worker ready", { worker: worker.pid });
    if (this.#ports.length === this.#wanted) this.#onReady?.();
  }

  #retiring(worker: WorkerProcess): void {
    this.#log.info("worker retires", { worker: worker.pid });
    this.#ports = this.#ports.filter((port) => port !== worker);
    // In the channel this comes behind all sessions that were sent before.
    worker.tell({ type: "drain" });
    if (this.#wanted > 0) this.#spawn();
  }

  #ended(worker: WorkerProcess, how: string): void {
    this.#all.delete(worker);
    const wasTaking = this.#ports.includes(worker);
    this.#ports = this.#ports.filter((port) => port !== worker);
    this.#events.ended(worker);
    if (this.#all.size === 0) this.#onEmpty?.();
    // One that retired has its successor already.
    const running = this.#all.size;
    if (this.#wanted === 0 || (!wasTaking && running >= this.#wanted)) return;
    const delayMs = this.#backOff.delayAfter(Date.now() - worker.startedAt);
    this.#log.error("worker ended unasked", { worker: worker.pid, how, restartMs: delayMs });
    setTimeout(() => {
      if (this.#wanted > 0) this.#spawn();
    }, delayMs);
  }
}

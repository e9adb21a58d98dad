/** Who waits for which byte of the log to be on stable storage. */

interface Waiter {
  /** Bytes of the log. */
  readonly upTo: number;
  /** Waits for a sync that others ask for, so many ms at most; 0: no longer; undefined: asks for one at once. */
  patienceMs: number | undefined;
  resolve(): void;
  reject(error: Error): void;
}

export class SyncWaiters {
  readonly #onUrgent: () => void;
  #waiters: Waiter[] = [];

  /** `onUrgent`: somebody asks for a sync. The end of one that is under way and does not cover them starts the next one. */
  constructor(onUrgent: () => void) {
    this.#onUrgent = onUrgent;
  }

  get count(): number {
    return this.#waiters.length;
  }

  /** Nobody among them asked for a sync at once. */
  get arePatient(): boolean {
    return this.#waiters.every(({ patienceMs }) => patienceMs !== undefined);
  }

  get isAnyUrgent(): boolean {
    return this.#waiters.some(({ patienceMs }) => !patienceMs);
  }

  add(upTo: number, patienceMs: number | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { upTo, patienceMs, resolve, reject };
      this.#waiters.push(waiter);
      if (patienceMs === undefined || patienceMs === 0) this.#onUrgent();
      else setTimeout(() => this.#outOfPatience(waiter), patienceMs);
    });
  }

  #outOfPatience(waiter: Waiter): void {
    waiter.patienceMs = 0;
    this.#onUrgent();
  }

  /** Everything up to there is on stable storage. */
  settle(upTo: number): void {
    const waiters = this.#waiters;
    this.#waiters = waiters.filter((waiter) => waiter.upTo > upTo);
    for (const waiter of waiters) if (waiter.upTo <= upTo) waiter.resolve();
  }

  rejectAll(error: Error): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.reject(error);
  }
}

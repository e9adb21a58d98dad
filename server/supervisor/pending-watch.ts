/**
 * Looks now and then at how long deliveries have waited for the lock on a mailbox. The mount is touched, which
 * only a process may that does not serve it, and it may hang: then the look is given up, and no other begins
 * before it has returned.
 */
import type { PendingAge } from "../delivery/pending-age.ts";
import type { Log } from "../log/log.ts";
import type { Counters } from "../metrics/counters.ts";

const PERIOD_MS = 15_000;
const ANSWER_MS_MAX = 10_000;
/** Older ones are a lock that nobody releases. */
const OLDEST_SECONDS_MAX = 3_600;
/** The warning is repeated after this. */
const WARNING_MS = 3_600_000;

export class PendingWatch {
  readonly #look: () => Promise<PendingAge>;
  readonly #counters: Counters;
  readonly #log: Log;
  readonly #timer: NodeJS.Timeout;
  #isLooking = false;
  #hangs = false;
  #warnedAt = Number.NEGATIVE_INFINITY;

  constructor(look: () => Promise<PendingAge>, counters: Counters, log: Log) {
    this.#look = look;
    this.#counters = counters;
    this.#log = log;
    this.#timer = setInterval(() => void this.look(), PERIOD_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const patience = setTimeout(() => {
      this.#hangs = true;
      this.#log.error("the spool does not answer", { waitedMs: ANSWER_MS_MAX });
    }, ANSWER_MS_MAX).unref();
    try {
      this.#found(await this.#look());
      if (this.#hangs) this.#log.info("the spool answers again");
      this.#hangs = false;
    } catch (error) {
      // While the spool is started again there is nothing to look at.
      this.#log.debug("pending deliveries: not known now", { reason: (error as Error).message });
    } finally {
      clearTimeout(patience);
      this.#isLooking = false;
    }
  }

  #found({ pending, oldestSeconds }: PendingAge): void {
    this.#counters.setPending(pending, oldestSeconds);
    if (oldestSeconds <= OLDEST_SECONDS_MAX) {
      this.#warnedAt = Number.NEGATIVE_INFINITY;
      return;
    }
    const now = performance.now();
    if (now - this.#warnedAt < WARNING_MS) return;
    this.#warnedAt = now;
    this.#log.warn("deliveries wait for a lock that nobody releases", { pending, oldestSeconds });
  }
}

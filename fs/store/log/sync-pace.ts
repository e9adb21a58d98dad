/**
 * In which thread the log is synced, by how long syncs took and how many waited for them.
 *
 * A sync that only one waits for is made in this thread while syncs are fast: the way through a pool thread and back
 * costs a lone writer about as much as the sync itself. Others wait no longer than for one such sync, and those who
 * come meanwhile share the next one.
 */

/** Syncs that are faster on average are made in this thread. */
const INLINE_SYNC_MS_MAX = 0.7;
/** And only while there was rarely more than one who waited: with several, the thread has better things to do. */
const INLINE_WAITERS_MAX = 1.3;
/** The weight of the newest sync in both averages. */
const NEWEST_WEIGHT = 0.1;

export class SyncPace {
  #syncMs = INLINE_SYNC_MS_MAX / 2;
  #waitersMean = 1;

  begin(waiters: number): void {
    this.#waitersMean += (waiters - this.#waitersMean) * NEWEST_WEIGHT;
  }

  end(syncMs: number): void {
    this.#syncMs += (syncMs - this.#syncMs) * NEWEST_WEIGHT;
  }

  get isInline(): boolean {
    return this.#waitersMean <= INLINE_WAITERS_MAX && this.#syncMs <= INLINE_SYNC_MS_MAX;
  }
}

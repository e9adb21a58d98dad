/**
 * The numbers of several processes together. What a process that ended had counted stays in the sums, so that
 * no counter ever goes down; what it showed as being so (its gauges) goes with it.
 */
import { addGauges, addSums, emptySnapshot, type CountersSnapshot } from "./snapshot.ts";

export class Totals<Key = number> {
  readonly #living = new Map<Key, CountersSnapshot>();
  readonly #retired = emptySnapshot();

  /** The latest snapshot of a living process; undefined, as of one in which nothing changed, is ignored. */
  update(key: Key, snapshot: CountersSnapshot | undefined): void {
    if (snapshot !== undefined) this.#living.set(key, snapshot);
  }

  /** The process has ended; another may come under the same key. */
  retire(key: Key): void {
    const last = this.#living.get(key);
    if (last === undefined) return;
    this.#living.delete(key);
    addSums(this.#retired, last);
  }

  sum(): CountersSnapshot {
    return merge([this.#retired, ...this.#living.values()]);
  }
}

export function merge(snapshots: Iterable<CountersSnapshot>): CountersSnapshot {
  const sum = emptySnapshot();
  for (const snapshot of snapshots) {
    addSums(sum, snapshot);
    addGauges(sum, snapshot);
  }
  return sum;
}

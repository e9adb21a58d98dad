/** The numbers of one process, or of several together, as plain data that travels through a channel. */
import { COMMIT_SECONDS, type CounterName, type GaugeName } from "./families.ts";

/** By the value of the label; "" where there is none. */
export type Values = Record<string, number>;

export interface CountersSnapshot {
  readonly counters: Partial<Record<CounterName, Values>>;
  readonly gauges: Partial<Record<GaugeName, Values>>;
  readonly commits: {
    /** How many fell between a bound and the one before it; the last one is above all bounds. */
    readonly buckets: number[];
    seconds: number;
  };
}

export function emptySnapshot(): CountersSnapshot {
  const buckets = Array.from({ length: COMMIT_SECONDS.bounds.length + 1 }, () => 0);
  return { counters: {}, gauges: {}, commits: { buckets, seconds: 0 } };
}

function addFamilies<Name extends string>(
  sums: Partial<Record<Name, Values>>,
  added: Readonly<Partial<Record<Name, Values>>>,
): void {
  for (const [name, values] of Object.entries(added) as [Name, Values][]) {
    const sum = (sums[name] ??= {});
    for (const [label, value] of Object.entries(values)) {
      sum[label] = (Object.hasOwn(sum, label) ? sum[label]! : 0) + value;
    }
  }
}

/** Counters and times of `added` go into `sums`. */
export function addSums(sums: CountersSnapshot, added: CountersSnapshot): void {
  addFamilies(sums.counters, added.counters);
  sums.commits.seconds += added.commits.seconds;
  for (const [index, count] of added.commits.buckets.entries()) {
    sums.commits.buckets[index] = (sums.commits.buckets[index] ?? 0) + count;
  }
}

export function addGauges(sums: CountersSnapshot, added: CountersSnapshot): void {
  addFamilies(sums.gauges, added.gauges);
}

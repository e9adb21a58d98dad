/**
 * What one process counts. An increment is an addition in a map: prom-client, which sorts and joins labels each
 * time, makes only the page (exposition.ts).
 */
import type { ProcessName } from "../log/log.ts";
import { COMMIT_SECONDS, type CounterName, type GaugeName } from "./families.ts";
import { emptySnapshot, type CountersSnapshot } from "./snapshot.ts";

export interface MessageCounts {
  readonly recipients: number;
  readonly mailboxes: number;
  readonly logicalBytes: number;
  readonly storedBytes: number;
  readonly commitMs: number;
}

const NO_LABEL = "";
const MICROSECONDS = 1e6;

type ByLabel = Map<string, number>;

function add(values: ByLabel, label: string, amount: number): void {
  values.set(label, (values.get(label) ?? 0) + amount);
}

function bucketOf(seconds: number): number {
  const { bounds } = COMMIT_SECONDS;
  let index = 0;
  while (index < bounds.length && seconds > bounds[index]!) index++;
  return index;
}

export class Counters {
  readonly #process: ProcessName;
  readonly #counters = new Map<CounterName, ByLabel>();
  readonly #gauges = new Map<GaugeName, ByLabel>();
  readonly #commits = emptySnapshot().commits;
  // Those that every connection and message touches are at hand without a look-up by name.
  readonly #connections = this.#counter("onespool_connections_total");
  readonly #handOvers = this.#counter("onespool_hand_overs_total");
  readonly #messages = this.#counter("onespool_messages_total");
  readonly #recipients = this.#counter("onespool_recipients_total");
  readonly #deliveries = this.#counter("onespool_deliveries_total");
  readonly #refused = this.#counter("onespool_recipients_refused_total");
  readonly #logicalBytes = this.#counter("onespool_logical_bytes_total");
  readonly #storedBytes = this.#counter("onespool_stored_bytes_total");
  readonly #open = this.#gauge("onespool_connections_open");
  readonly #queue = this.#gauge("onespool_queue");
  #changed = false;

  constructor(process: ProcessName) {
    this.#process = process;
  }

  connectionEnded(end: string): void {
    this.#changed = true;
    add(this.#connections, end, 1);
  }

  handOver(result: "taken" | "failed" | "timedOut"): void {
    this.#changed = true;
    add(this.#handOvers, result, 1);
  }

  /** `stored` is undefined unless the result is "stored". */
  message(result: string, stored: MessageCounts | undefined): void {
    this.#changed = true;
    add(this.#messages, result, 1);
    if (stored === undefined) return;
    add(this.#recipients, NO_LABEL, stored.recipients);
    add(this.#deliveries, NO_LABEL, stored.mailboxes);
    add(this.#logicalBytes, NO_LABEL, stored.logicalBytes);
    add(this.#storedBytes, NO_LABEL, stored.storedBytes);
    const seconds = stored.commitMs / 1000;
    this.#commits.seconds += seconds;
    this.#commits.buckets[bucketOf(seconds)]!++;
  }

  recipientRefused(reason: string): void {
    this.#changed = true;
    add(this.#refused, reason, 1);
  }

  restarted(process: "front" | "spool"): void {
    this.#changed = true;
    add(this.#counter("onespool_restarts_total"), process, 1);
  }

  setOpen(role: "front" | "worker", count: number): void {
    this.#set(this.#open, role, count);
  }

  setQueue(name: "handOver" | "deliveries", count: number): void {
    this.#set(this.#queue, name, count);
  }

  setPending(count: number, oldestSeconds: number): void {
    this.#set(this.#gauge("onespool_pending_deliveries"), NO_LABEL, count);
    this.#set(this.#gauge("onespool_pending_oldest_seconds"), NO_LABEL, oldestSeconds);
  }

  /** Sums since the start of the process; undefined if nothing has changed since the last one. */
  snapshot(): CountersSnapshot | undefined {
    if (!this.#changed) return undefined;
    this.#changed = false;
    const { user, system } = process.cpuUsage();
    this.#counter("onespool_cpu_seconds_total").set(this.#process, (user + system) / MICROSECONDS);
    this.#gauge("onespool_resident_bytes").set(this.#process, process.memoryUsage.rss());
    const { buckets, seconds } = this.#commits;
    return {
      counters: plain(this.#counters),
      gauges: plain(this.#gauges),
      commits: { buckets: [...buckets], seconds },
    };
  }

  #set(values: ByLabel, label: string, value: number): void {
    if (values.get(label) === value) return;
    this.#changed = true;
    values.set(label, value);
  }

  #counter(name: CounterName): ByLabel {
    return valuesOf(this.#counters, name);
  }

  #gauge(name: GaugeName): ByLabel {
    return valuesOf(this.#gauges, name);
  }
}

function valuesOf<Name>(families: Map<Name, ByLabel>, name: Name): ByLabel {
  const found = families.get(name);
  if (found !== undefined) return found;
  const values: ByLabel = new Map();
  families.set(name, values);
  return values;
}

function plain<Name extends string>(
  families: ReadonlyMap<Name, ByLabel>,
): Partial<Record<Name, Record<string, number>>> {
  const entries = Array.from(families, ([name, values]) => [name, Object.fromEntries(values)]);
  return Object.fromEntries(entries) as Partial<Record<Name, Record<string, number>>>;
}

/** What is counted, under the names that Prometheus sees: one table. docs/METRICS.md explains each. */

interface Family {
  readonly help: string;
  /** Undefined: one number without a label. */
  readonly label: string | undefined;
}

/** Sums since the start of `onespool serve`: they never go down. */
export const COUNTERS = {
  onespool_connections_total: { help: "Connections that ended, by why", label: "end" },
  onespool_hand_overs_total: { help: "Connections given to a worker", label: "result" },
  onespool_messages_total: {
    help: "Messages whose data came, by what became of them",
    label: "result",
  },
  onespool_recipients_total: { help: "Accepted recipients of stored messages", label: undefined },
  onespool_deliveries_total: { help: "Mailboxes that stored messages went to", label: undefined },
  onespool_recipients_refused_total: { help: "Refused recipients, by why", label: "reason" },
  onespool_logical_bytes_total: { help: "Bytes by which mailboxes grew", label: undefined },
  onespool_stored_bytes_total: { help: "Bytes sent to the store for them", label: undefined },
  onespool_cpu_seconds_total: { help: "Processor time", label: "process" },
  onespool_restarts_total: {
    help: "Processes that ended unasked and were started again",
    label: "process",
  },
} as const satisfies Readonly<Record<string, Family>>;

/** What is so now; the sum over the living processes. */
export const GAUGES = {
  onespool_connections_open: { help: "Open connections, by who has them", label: "role" },
  onespool_queue: {
    help: "What waits: sessions to be handed over, deliveries to be answered",
    label: "name",
  },
  onespool_resident_bytes: { help: "Memory of the processes", label: "process" },
  onespool_pending_deliveries: {
    help: "Deliveries that wait for a lock on a mailbox",
    label: undefined,
  },
  onespool_pending_oldest_seconds: { help: "Age of the oldest of them", label: undefined },
} as const satisfies Readonly<Record<string, Family>>;

export type CounterName = keyof typeof COUNTERS;
export type GaugeName = keyof typeof GAUGES;

export const COMMIT_SECONDS = {
  name: "onespool_commit_seconds",
  help: "From a delivery's request to its durable answer",
  /** Upper bounds; one more bucket has the rest. */
  bounds: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30],
} as const;

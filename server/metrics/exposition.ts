/** The page that Prometheus reads, made of a snapshot by prom-client, whose own plain form of a metric this fills in. */
import { AggregatorRegistry } from "prom-client";
import { COMMIT_SECONDS, COUNTERS, GAUGES } from "./families.ts";
import type { CountersSnapshot, Values } from "./snapshot.ts";

export const CONTENT_TYPE = AggregatorRegistry.PROMETHEUS_CONTENT_TYPE;

interface MetricValue {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly metricName?: string;
}

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly values: readonly MetricValue[];
  readonly aggregator: "sum";
}

type Families = Readonly<Record<string, { help: string; label: string | undefined }>>;

function metricsOf(
  type: "counter" | "gauge",
  families: Families,
  snapshot: Readonly<Partial<Record<string, Values>>>,
): Metric[] {
  return Object.entries(families).map(([name, { help, label }]) => {
    // A number without a label is there from the start, so that its first increase is seen as one.
    const values = snapshot[name] ?? {};
    const all = label === undefined ? { "": 0, ...values } : values;
    return {
      name,
      help,
      type,
      aggregator: "sum",
      values: Object.entries(all).map(([key, value]) => ({
        value,
        labels: label === undefined ? {} : { [label]: key },
      })),
    };
  });
}

/** Prometheus' buckets hold what the ones below them hold too. */
function commitSeconds({ buckets, seconds }: CountersSnapshot["commits"]): Metric {
  const { name, help, bounds } = COMMIT_SECONDS;
  let count = 0;
  const values: MetricValue[] = [...bounds, "+Inf"].map((le, index) => {
    count += buckets[index] ?? 0;
    return { value: count, labels: { le }, metricName: `${name}_bucket` };
  });
  values.push({ value: seconds, labels: {}, metricName: `${name}_sum` });
  values.push({ value: count, labels: {}, metricName: `${name}_count` });
  return { name, help, type: "histogram", aggregator: "sum", values };
}

export async function exposition(snapshot: CountersSnapshot): Promise<string> {
  const metrics = [
    ...metricsOf("counter", COUNTERS, snapshot.counters),
    ...metricsOf("gauge", GAUGES, snapshot.gauges),
    commitSeconds(snapshot.commits),
  ];
  return AggregatorRegistry.aggregate([metrics]).metrics();
}

/**
 * A snapshot that came through a channel. Who sends it is less trusted than who adds it up: names that are not ours,
 * labels beyond any use and numbers that are none are refused with the whole of it.
 */
import * as v from "valibot";
import { COMMIT_SECONDS, COUNTERS, GAUGES } from "./families.ts";
import type { CountersSnapshot } from "./snapshot.ts";

const LABELS_MAX = 100;
const LABEL_LENGTH_MAX = 64;

const amount = v.pipe(v.number(), v.finite(), v.minValue(0));
// A record of valibot has no "__proto__".
const values = v.pipe(
  v.record(v.pipe(v.string(), v.maxLength(LABEL_LENGTH_MAX)), amount),
  v.check((labels) => Object.keys(labels).length <= LABELS_MAX),
);

function namesOf<Name extends string>(families: Readonly<Record<Name, unknown>>): Name[] {
  return Object.keys(families) as Name[];
}

const schema = v.object({
  counters: v.partial(v.object(v.entriesFromList(namesOf(COUNTERS), values))),
  gauges: v.partial(v.object(v.entriesFromList(namesOf(GAUGES), values))),
  commits: v.object({
    buckets: v.pipe(v.array(amount), v.length(COMMIT_SECONDS.bounds.length + 1)),
    seconds: amount,
  }),
});

/** Undefined: it is none. */
export function readSnapshot(message: unknown): CountersSnapshot | undefined {
  const result = v.safeParse(schema, message);
  return result.success ? (result.output as CountersSnapshot) : undefined;
}

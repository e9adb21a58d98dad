/**
 * What the front says, looked at before it is believed: the supervisor is root, and the front is not, and talks with
 * everybody.
 */
import * as v from "valibot";
import type { FromFront } from "../messages.ts";

const LISTENERS_MAX = 1_000;
const PORT_MAX = 65_535;

const listener = v.object({
  protocol: v.picklist(["smtp", "lmtp"]),
  address: v.pipe(v.string(), v.ip()),
  port: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(PORT_MAX)),
});

const schema = v.variant("type", [
  v.object({
    type: v.literal("ready"),
    listening: v.pipe(v.array(listener), v.maxLength(LISTENERS_MAX)),
  }),
  v.object({ type: v.literal("failed"), message: v.string() }),
  // A channel of JSON leaves out what is undefined.
  v.object({ type: v.literal("reloaded"), problem: v.optional(v.string()) }),
  v.object({ type: v.literal("counters"), counters: v.unknown() }),
]);

/** Undefined: it is none. */
export function readFrontMessage(message: unknown): FromFront | undefined {
  const result = v.safeParse(schema, message);
  return result.success ? (result.output as FromFront) : undefined;
}

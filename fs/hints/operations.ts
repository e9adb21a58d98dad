/** The table of the hints' operations, and the one place where failures of the store become refusals. */
import { StoreError } from "../store/errors.ts";
import type { HintsContext, Requester } from "./context.ts";
import { deliver } from "./deliver.ts";
import { givenPath } from "./deliver-request.ts";
import type { Frame } from "./frame.ts";
import { readPath } from "./fields.ts";
import { HINT_VERSION } from "./limits.ts";
import { remove, share } from "./ranges.ts";
import { reclaim } from "./reclaim.ts";
import type { PathAsGiven, Refusal } from "./refusals.ts";
import { isRefusal } from "./refusals.ts";
import type { Answer } from "./reply.ts";
import { statistics } from "./statistics.ts";
import { forget, write } from "./units.ts";
import { who } from "./who.ts";

type Operation = (
  context: HintsContext,
  requester: Requester,
  frame: Frame,
) => Answer | Refusal | Promise<Answer | Refusal>;

const operations: ReadonlyMap<unknown, Operation> = new Map<unknown, Operation>([
  ["write", write],
  ["deliver", deliver],
  ["share", share],
  ["remove", remove],
  ["statistics", statistics],
  ["who", who],
  ["forget", forget],
  ["reclaim", reclaim],
]);

/**
 * Carries out a request. What an operation finds and what it commits lie in one turn of the event loop; only
 * copies, which no file has yet, are written before (copies.ts).
 */
export async function perform(
  context: HintsContext,
  requester: Requester,
  frame: Frame,
): Promise<Answer | Refusal> {
  const { op, version = HINT_VERSION } = frame.fields;
  if (version !== HINT_VERSION) return { reason: "unknownVersion", detail: "version" };
  const operation = operations.get(op);
  if (operation === undefined) return { reason: "unknownOperation", detail: "op" };
  try {
    return await operation(context, requester, frame);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return {
      reason: error.code === "STORE_FULL" ? "storeFull" : "storeFailed",
      path: firstPath(frame),
      detail: error.message,
    };
  }
}

/** A store that fails does so for all files alike: the first one is named. */
function firstPath(frame: Frame): PathAsGiven {
  if (Array.isArray(frame.fields["to"])) return givenPath(frame, 0);
  const path = readPath(frame.fields, "");
  return isRefusal(path) ? {} : path.given;
}

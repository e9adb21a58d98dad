/**
 * The operation `reclaim`: begins or ends the giving back of space, and tells how far it is. It only begins
 * the work, so that nobody waits for it who closes the mount. For root, and who mounted.
 */
import type { HintsContext, Requester } from "./context.ts";
import type { Frame } from "./frame.ts";
import type { Refusal } from "./refusals.ts";
import { isRefusal } from "./refusals.ts";
import type { Answer } from "./reply.ts";
import { readReclaim } from "./request.ts";

export function reclaim(
  { store }: HintsContext,
  { opener }: Requester,
  frame: Frame,
): Answer | Refusal {
  const request = readReclaim(frame);
  if (isRefusal(request)) return request;
  // Through fuse-native everybody is the one who mounted, and the store is his.
  if (opener.uid !== 0 && opener.uid !== process.getuid?.()) return { reason: "notRoot" };
  const { reclaimer } = store;
  if (request.action === "now") reclaimer.begin();
  if (request.action === "start") reclaimer.start();
  if (request.action === "stop") void reclaimer.stop();
  return { ...reclaimer.status() };
}

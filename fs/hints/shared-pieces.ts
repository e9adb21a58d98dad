/** What every file of a delivery gets, of the units that the session holds. */
import type { Extent } from "../store/records/change.ts";
import type { Requester } from "./context.ts";
import type { DeliverRequest } from "./deliver-request.ts";
import { EXTENTS_ADDED_MAX } from "./limits.ts";
import type { Refusal } from "./refusals.ts";

/** The extents of each piece; an inline piece is told by its length. */
export function collectShared(
  requester: Requester,
  request: DeliverRequest,
): (number | Extent[])[] | Refusal {
  const shared: (number | Extent[])[] = [];
  let count = 0;
  for (const piece of request.shared) {
    if (piece.type === "inline") {
      shared.push(piece.length);
      count++;
      continue;
    }
    const extents: Extent[] = [];
    const { token, offset, length } = piece;
    const reason = requester.units.addExtents(token, offset, length, extents);
    if (reason !== undefined)
      return { reason, detail: `unit ${JSON.stringify(token.slice(0, 64))}` };
    shared.push(extents);
    count += extents.length;
  }
  if (count * request.paths.length > EXTENTS_ADDED_MAX) return { reason: "tooManyExtents" };
  return shared;
}

/** The operations `write` and `forget`: units that a session holds for deliveries to come. */
import type { HintsContext, Requester } from "./context.ts";
import type { Frame } from "./frame.ts";
import type { Refusal } from "./refusals.ts";
import { isRefusal } from "./refusals.ts";
import type { Answer } from "./reply.ts";
import { readForget, readWrite } from "./request.ts";

export function write(context: HintsContext, requester: Requester, frame: Frame): Answer | Refusal {
  const request = readWrite(frame);
  if (isRefusal(request)) return request;
  const units = requester.units.write(frame.body, request.lengths, context.now().sec);
  return typeof units === "string" ? { reason: units } : { units };
}

export function forget(
  _context: HintsContext,
  requester: Requester,
  frame: Frame,
): Answer | Refusal {
  const request = readForget(frame);
  if (isRefusal(request)) return request;
  for (const unit of request.units) {
    if (requester.units.has(unit)) continue;
    return { reason: "unknownUnit", detail: `unit ${JSON.stringify(unit.slice(0, 64))}` };
  }
  for (const unit of request.units) requester.units.forget(unit);
  return { forgotten: request.units.length };
}

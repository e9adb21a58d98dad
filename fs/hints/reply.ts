/** The bytes of a reply: one line of JSON. Pure. */
import { errnoName } from "../../base/errno.ts";
import type { Refusal } from "./refusals.ts";
import { errnoOf, messageOf } from "./refusals.ts";

/** What a request that was carried out answers, beside `"ok": true`. */
export type Answer = Readonly<Record<string, unknown>>;

function line(reply: object): Buffer {
  return Buffer.from(`${JSON.stringify(reply)}\n`, "utf8");
}

export function encodeAnswer(answer: Answer): Buffer {
  return line({ ok: true, ...answer });
}

export function encodeRefusal(refusal: Refusal): Buffer {
  return line({
    ok: false,
    error: errnoName(errnoOf(refusal.reason)),
    reason: refusal.reason,
    ...refusal.path,
    message: messageOf(refusal),
  });
}

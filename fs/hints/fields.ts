/**
 * Reading the fields of a request. JSON from anybody: nothing is taken as being what it should be.
 * Each function answers with the value or with the refusal. Pure.
 */
import { PATH_BYTES_MAX } from "./limits.ts";
import type { Fields } from "./frame.ts";
import type { PathAsGiven, Refusal } from "./refusals.ts";

/** A path and how the request spelled it. */
export interface Path {
  /** The bytes, one UTF-16 unit for each. */
  readonly bytes: string;
  readonly given: PathAsGiven;
}

export function badField(name: string): Refusal {
  return { reason: "badField", detail: name };
}

/** Whole and not negative. */
export function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

export function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A field that the operation does not know may have been meant to change what it does: refused. */
export function unknownField(fields: Fields, known: ReadonlySet<string>): Refusal | undefined {
  for (const name in fields) {
    if (!known.has(name)) return { reason: "unknownField", detail: name.slice(0, 64) };
  }
  return undefined;
}

// oxlint-disable-next-line no-control-regex -- ASCII without NUL is what it has to find.
const PLAIN = /^[\u0001-\u007f]*$/;
/** Half of a character that takes two UTF-16 units: it has no bytes in UTF-8. */
const LONE_SURROGATE = /\p{Surrogate}/u;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** The bytes of a path that was given as text; undefined when no file can be called so. */
export function bytesOfText(text: string): string | undefined {
  if (PLAIN.test(text)) return text;
  if (text.includes("\0") || LONE_SURROGATE.test(text)) return undefined;
  return Buffer.from(text, "utf8").toString("latin1");
}

/** The path of an object: `path`, or `path64` when its bytes are not UTF-8. */
export function readPath(fields: Fields, where: string): Path | Refusal {
  const text: unknown = fields["path"];
  const base64: unknown = fields["path64"];
  if ((text === undefined) === (base64 === undefined)) return badField(`${where}path`);
  let bytes: string | undefined;
  let given: PathAsGiven;
  if (text === undefined) {
    if (typeof base64 !== "string" || !BASE64.test(base64)) return badField(`${where}path64`);
    bytes = Buffer.from(base64, "base64").toString("latin1");
    if (bytes.includes("\0")) bytes = undefined;
    given = { path64: base64 };
  } else {
    if (typeof text !== "string") return badField(`${where}path`);
    bytes = bytesOfText(text);
    given = { path: text };
  }
  if (bytes === undefined) return badField(`${where}path`);
  // The path is not repeated: it may be megabytes long.
  if (bytes.length > PATH_BYTES_MAX) return { reason: "pathTooLong", detail: `${where}path` };
  return { bytes, given };
}

/**
 * What a request other than `deliver` asks for, checked field by field (docs/HINTS.md). Pure. Whether
 * the files exist and whether the caller may is not decided here.
 */
import type { Path } from "./fields.ts";
import { badField, isCount, isObject, readPath, unknownField } from "./fields.ts";
import type { Fields, Frame } from "./frame.ts";
import { UNITS_NAMED_MAX } from "./limits.ts";
import type { Refusal } from "./refusals.ts";
import { isRefusal } from "./refusals.ts";

export interface WriteUnits {
  readonly lengths: readonly number[];
}

export interface ForgetUnits {
  readonly units: readonly string[];
}

/** `length` bytes from `offset` of a file. */
export interface FileRange {
  readonly path: Path;
  readonly offset: number;
  readonly length: number;
}

export interface ShareRanges {
  readonly from: readonly FileRange[];
  readonly to: Path;
}

export interface Who {
  readonly path: Path;
  /** Where in the file to begin. */
  readonly offset: number;
}

const RECLAIM_ACTIONS = ["status", "now", "start", "stop"] as const;

export interface Reclaim {
  readonly action: (typeof RECLAIM_ACTIONS)[number];
}

export interface Statistics {
  readonly path: Path | undefined;
}

const ENVELOPE = ["op", "version", "bodyBytes"];
const WRITE_FIELDS = new Set([...ENVELOPE, "lengths"]);
const FORGET_FIELDS = new Set([...ENVELOPE, "units"]);
const SHARE_FIELDS = new Set([...ENVELOPE, "from", "to"]);
const REMOVE_FIELDS = new Set([...ENVELOPE, "path", "path64", "offset", "length"]);
const WHO_FIELDS = new Set([...ENVELOPE, "path", "path64", "offset"]);
const RECLAIM_FIELDS = new Set([...ENVELOPE, "action"]);
const STATISTICS_FIELDS = new Set([...ENVELOPE, "path", "path64"]);
const RANGE_FIELDS = new Set(["path", "path64", "offset", "length"]);
const PATH_FIELDS = new Set(["path", "path64"]);

function noBody(frame: Frame): Refusal | undefined {
  return frame.body.length > 0 ? { reason: "bodyMismatch", detail: "bodyBytes" } : undefined;
}

/** Without `lengths` the whole body is one unit. */
export function readWrite(frame: Frame): WriteUnits | Refusal {
  const unknown = unknownField(frame.fields, WRITE_FIELDS);
  if (unknown !== undefined) return unknown;
  const given: unknown = frame.fields["lengths"] ?? [frame.body.length];
  if (!Array.isArray(given) || given.length === 0) return badField("lengths");
  if (given.length > UNITS_NAMED_MAX) return { reason: "tooManyUnits", detail: "lengths" };
  const lengths: number[] = [];
  let sum = 0;
  for (const length of given as unknown[]) {
    if (!isCount(length) || length === 0) return badField("lengths");
    lengths.push(length);
    sum += length;
  }
  if (sum !== frame.body.length) return { reason: "bodyMismatch", detail: "lengths" };
  return { lengths };
}

export function readForget(frame: Frame): ForgetUnits | Refusal {
  const fault = unknownField(frame.fields, FORGET_FIELDS) ?? noBody(frame);
  if (fault !== undefined) return fault;
  const given: unknown = frame.fields["units"];
  if (!Array.isArray(given)) return badField("units");
  if (given.length > UNITS_NAMED_MAX) return { reason: "tooManyUnits", detail: "units" };
  const units: string[] = [];
  for (const unit of given as unknown[]) {
    if (typeof unit !== "string") return badField("units");
    units.push(unit);
  }
  return { units };
}

function readRange(fields: Fields, where: string): FileRange | Refusal {
  const path = readPath(fields, where);
  if (isRefusal(path)) return path;
  const offset: unknown = fields["offset"];
  const length: unknown = fields["length"];
  if (!isCount(offset)) return { ...badField(`${where}offset`), path: path.given };
  if (!isCount(length) || length === 0 || !isCount(offset + length)) {
    return { ...badField(`${where}length`), path: path.given };
  }
  return { path, offset, length };
}

/** `from` is one range or a list of them. */
export function readShare(frame: Frame): ShareRanges | Refusal {
  const fault = unknownField(frame.fields, SHARE_FIELDS) ?? noBody(frame);
  if (fault !== undefined) return fault;
  const { from, to } = frame.fields;
  const given: readonly unknown[] = Array.isArray(from) ? from : [from];
  if (given.length === 0) return badField("from");
  if (given.length > UNITS_NAMED_MAX) return { reason: "tooManyUnits", detail: "from" };
  if (!isObject(to)) return badField("to");
  const ranges: FileRange[] = [];
  for (const [index, one] of given.entries()) {
    const where = Array.isArray(from) ? `from[${index}]` : "from";
    if (!isObject(one)) return badField(where);
    const range = unknownField(one, RANGE_FIELDS) ?? readRange(one, `${where}.`);
    if (isRefusal(range)) return range;
    ranges.push(range);
  }
  const target = unknownField(to, PATH_FIELDS) ?? readPath(to, "to.");
  return isRefusal(target) ? target : { from: ranges, to: target };
}

export function readRemove(frame: Frame): FileRange | Refusal {
  const fault = unknownField(frame.fields, REMOVE_FIELDS) ?? noBody(frame);
  return fault ?? readRange(frame.fields, "");
}

export function readWho(frame: Frame): Who | Refusal {
  const fault = unknownField(frame.fields, WHO_FIELDS) ?? noBody(frame);
  if (fault !== undefined) return fault;
  const path = readPath(frame.fields, "");
  if (isRefusal(path)) return path;
  const offset: unknown = frame.fields["offset"] ?? 0;
  return isCount(offset) ? { path, offset } : { ...badField("offset"), path: path.given };
}

export function readReclaim(frame: Frame): Reclaim | Refusal {
  const fault = unknownField(frame.fields, RECLAIM_FIELDS) ?? noBody(frame);
  if (fault !== undefined) return fault;
  const given: unknown = frame.fields["action"] ?? "status";
  const action = RECLAIM_ACTIONS.find((one) => one === given);
  return action === undefined ? badField("action") : { action };
}

export function readStatistics(frame: Frame): Statistics | Refusal {
  const fault = unknownField(frame.fields, STATISTICS_FIELDS) ?? noBody(frame);
  if (fault !== undefined) return fault;
  if (frame.fields["path"] === undefined && frame.fields["path64"] === undefined) {
    return { path: undefined };
  }
  const path = readPath(frame.fields, "");
  return isRefusal(path) ? path : { path };
}

/**
 * What the import notes on each mailbox that it brought in, as an extended attribute: how the source was when
 * it was taken, what the mailbox was then, and which source it was. Without a note the import goes by size and
 * time. Pure.
 */
import { createHash } from "node:crypto";
import { bytesOf } from "./names.ts";

/** Size in bytes (of a maildir: its messages) and time of the last change in nanoseconds. */
export interface State {
  readonly size: bigint;
  readonly mtimeNs: bigint;
}

export interface Mark {
  readonly source: State;
  readonly target: State;
  /** Undefined in the notes of earlier versions, and where the source had several names: any may be meant. */
  readonly origin: string | undefined;
}

const ORIGIN_BYTES = 16;
const FORMAT = /^[12] (\d{1,19}) (-?\d{1,19}) (\d{1,19}) (-?\d{1,19})(?: ([\da-f]{32}))?$/;

/** Tells sources apart that go to the same mailbox; a digest, for a path may be longer than an attribute. */
export function originOf(path: string): string {
  const digest = createHash("sha256").update(bytesOf(path)).digest();
  return digest.subarray(0, ORIGIN_BYTES).toString("hex");
}

export function formatMark({ source, target, origin }: Mark): Buffer {
  const numbers = [source.size, source.mtimeNs, target.size, target.mtimeNs].join(" ");
  return Buffer.from(origin === undefined ? `1 ${numbers}` : `2 ${numbers} ${origin}`);
}

/** Undefined for anything else: then there is no note. */
export function parseMark(value: Buffer): Mark | undefined {
  const [whole, ...fields] = FORMAT.exec(value.toString("latin1")) ?? [];
  if (whole === undefined) return undefined;
  const origin = fields[4];
  const isOld = whole.startsWith("1");
  if (isOld !== (origin === undefined)) return undefined;
  const [sourceSize, sourceTime, size, time] = fields.slice(0, 4).map(BigInt) as [
    bigint,
    bigint,
    bigint,
    bigint,
  ];
  return {
    source: { size: sourceSize, mtimeNs: sourceTime },
    target: { size, mtimeNs: time },
    origin,
  };
}

export function isSame(one: State, other: State): boolean {
  return one.size === other.size && one.mtimeNs === other.mtimeNs;
}

/**
 * What to do about a mailbox that is there already:
 *
 *   done      the source is as it was when it was taken, whatever has become of the mailbox
 *   replace   the mailbox is as the import left it, and the source has changed
 *   extend    nothing is known: only if the source begins with all of the mailbox's bytes is nothing lost
 *   foreign   it has come from another source, whose mail would be lost
 */
export type Decision = "done" | "replace" | "extend" | "foreign";

/** `origin`: undefined when it does not matter. */
export function decide(
  source: State,
  target: State,
  mark: Mark | undefined,
  origin: string | undefined,
): Decision {
  if (mark === undefined) return isSame(source, target) ? "done" : "extend";
  if (origin !== undefined && mark.origin !== undefined && mark.origin !== origin) return "foreign";
  if (isSame(mark.source, source)) return "done";
  return isSame(mark.target, target) ? "replace" : "extend";
}

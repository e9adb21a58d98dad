/**
 * What the import notes on each mailbox that it brought in, as an extended attribute: how the source was when
 * it was taken, and what the mailbox was then. Without a note the import goes by size and time. Pure.
 */

/** Size in bytes (of a maildir: its messages) and time of the last change in nanoseconds. */
export interface State {
  readonly size: bigint;
  readonly mtimeNs: bigint;
}

export interface Mark {
  readonly source: State;
  readonly target: State;
}

const FORMAT = /^1 (\d{1,19}) (-?\d{1,19}) (\d{1,19}) (-?\d{1,19})$/;

export function formatMark({ source, target }: Mark): Buffer {
  const numbers = [source.size, source.mtimeNs, target.size, target.mtimeNs];
  return Buffer.from(`1 ${numbers.join(" ")}`);
}

/** Undefined for anything else: then there is no note. */
export function parseMark(value: Buffer): Mark | undefined {
  const [whole, ...numbers] = FORMAT.exec(value.toString("latin1")) ?? [];
  if (whole === undefined) return undefined;
  const [sourceSize, sourceTime, size, time] = numbers.map(BigInt) as [
    bigint,
    bigint,
    bigint,
    bigint,
  ];
  return {
    source: { size: sourceSize, mtimeNs: sourceTime },
    target: { size, mtimeNs: time },
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
 */
export type Decision = "done" | "replace" | "extend";

export function decide(source: State, target: State, mark: Mark | undefined): Decision {
  if (mark === undefined) return isSame(source, target) ? "done" : "extend";
  if (isSame(mark.source, source)) return "done";
  return isSame(mark.target, target) ? "replace" : "extend";
}

/** Broken invariants: thrown, never caught; the process dies, is started again and recovers. */

export class InvariantError extends Error {
  override name = "InvariantError";
}

export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new InvariantError(what);
}

/** The end of a switch over a closed union. */
export function assertNever(value: never): never {
  throw new InvariantError(`not in the union: ${JSON.stringify(value)}`);
}

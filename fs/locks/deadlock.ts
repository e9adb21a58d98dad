/** Whether a wait for a byte-range lock would be one that never ends: its owner waits for itself. */
import type { Conflict } from "./space.ts";
import type { LockRequest } from "./table.ts";

export interface Wait {
  readonly ino: number;
  readonly request: LockRequest;
}

/**
 * Follows from the owners in the new wait's way to whom they wait for, and so on, each owner once. An
 * owner with several threads may wait in several places; one of them on the cycle is enough, as on
 * Linux, which errs to the same side.
 */
export function closesCycle(
  wait: Wait,
  conflictsOf: (wait: Wait) => Iterable<Conflict>,
  waitsOf: (owner: bigint) => Iterable<Wait>,
): boolean {
  const seen = new Set<bigint>();
  const ahead: Wait[] = [wait];
  for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
    for (const { owner } of conflictsOf(next)) {
      if (owner === wait.request.owner) return true;
      if (seen.has(owner)) continue;
      seen.add(owner);
      ahead.push(...waitsOf(owner));
    }
  }
  return false;
}

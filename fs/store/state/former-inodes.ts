/**
 * Changes of names as they go to the log: with the inode that had the name before. Cleaning has to know it when
 * it takes the record away, to tell whether what the record undid may still be somewhere.
 */
import type { Change } from "../records/change.ts";
import type { State } from "./state.ts";

export function withFormerInodes(state: State, changes: readonly Change[]): readonly Change[] {
  if (!changes.some(({ type }) => type === "name" || type === "unname")) return changes;
  /** Names as they are after the changes so far; 0: not there. */
  const inodes = new Map<string, number>();
  return changes.map((change) => {
    if (change.type !== "name" && change.type !== "unname") return change;
    const key = `${change.parent}/${change.name}`;
    const before = inodes.get(key) ?? state.dentry(change.parent, change.name)?.ino ?? 0;
    const ino = change.type === "name" ? change.ino : 0;
    inodes.set(key, ino);
    return before === 0 || before === ino ? change : { ...change, before };
  });
}

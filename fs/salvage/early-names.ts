/**
 * Names that stand in the log before the snapshot of their directory: in a log with gaps the record that made it may
 * be gone. They are given when everything was read.
 */
import type { NameChange } from "../store/records/change.ts";

export class EarlyNames {
  readonly #names = new Map<string, NameChange>();

  add(change: NameChange): void {
    this.#names.set(keyOf(change.parent, change.name), change);
  }

  /** The inode that the name is for; undefined when there is no such name. */
  ino(parent: number, name: string): number | undefined {
    return this.#names.get(keyOf(parent, name))?.ino;
  }

  delete(parent: number, name: string): void {
    this.#names.delete(keyOf(parent, name));
  }

  all(): NameChange[] {
    return [...this.#names.values()];
  }
}

function keyOf(parent: number, name: string): string {
  return `${parent}/${name}`;
}

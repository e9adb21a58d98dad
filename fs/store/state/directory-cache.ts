/** The names of one directory that are in memory, and which of them differ from the index. */
import type { Dentry } from "./dentry.ts";

class DirectoryCache {
  readonly names = new Map<string, Dentry>();
  readonly changed = new Set<Dentry>();
}

/** The names of all directories in memory, bounded as RowCache is. */
export class DentryCache {
  readonly #directories = new Map<number, DirectoryCache>();
  readonly #countMax: number;
  #count = 0;
  #sweepAt: number;
  #lastParent = 0;
  #last: DirectoryCache | undefined;

  constructor(countMax: number) {
    this.#countMax = countMax;
    this.#sweepAt = countMax;
  }

  get size(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#count > this.#sweepAt;
  }

  get(parent: number, name: string): Dentry | undefined {
    // Many look-ups in a row are in one directory.
    if (parent !== this.#lastParent || this.#last === undefined) {
      this.#lastParent = parent;
      this.#last = this.#directories.get(parent);
    }
    return this.#last?.names.get(name);
  }

  set(dentry: Dentry): void {
    let directory = this.#directories.get(dentry.parent);
    if (directory === undefined) {
      directory = new DirectoryCache();
      this.#directories.set(dentry.parent, directory);
    }
    if (!directory.names.has(dentry.name)) this.#count++;
    directory.names.set(dentry.name, dentry);
  }

  changed(dentry: Dentry): void {
    this.#directories.get(dentry.parent)?.changed.add(dentry);
  }

  /** A checkpoint has written the name, or its removal. */
  written(dentry: Dentry): void {
    const directory = this.#directories.get(dentry.parent);
    directory?.changed.delete(dentry);
    if (dentry.removed) this.#drop(dentry);
  }

  changedIn(parent: number): Iterable<Dentry> {
    return this.#directories.get(parent)?.changed ?? [];
  }

  sweep(): void {
    const keep = this.#countMax - Math.ceil(this.#countMax / 8);
    for (const directory of this.#directories.values()) {
      for (const dentry of directory.names.values()) {
        if (this.#count <= keep) return;
        if (dentry.generation === 0) this.#drop(dentry);
      }
    }
    this.#sweepAt = Math.max(this.#countMax, this.#count + Math.ceil(this.#countMax / 8));
  }

  #drop(dentry: Dentry): void {
    const directory = this.#directories.get(dentry.parent);
    if (directory?.names.get(dentry.name) !== dentry) return;
    directory.names.delete(dentry.name);
    this.#count--;
    if (directory.names.size > 0) return;
    this.#directories.delete(dentry.parent);
    if (this.#last === directory) this.#last = undefined;
  }
}

/**
 * The account of the mount option `deliver=UID`: by `deliver` alone it may append to mailboxes and create
 * them under the configured directories, whoever owns them. It reads nothing and has no other right
 * beyond its ordinary ones.
 */
import { ROOT_INO } from "../files/inodes.ts";
import type { Inode } from "../store/state/inode.ts";
import type { Store } from "../store/store.ts";
import { isDirectory } from "../attributes.ts";
import { PathWalker } from "./path-walker.ts";

export interface DeliverAccount {
  readonly uid: number;
  /** Paths from the mount's root, as byte strings; "." is the root itself. Looked up for each request. */
  readonly directories: readonly string[];
}

/** The configured directories as they are during one request. */
export class DeliverPlaces {
  readonly #store: Store;
  readonly #roots = new Set<number>();
  readonly #known = new Map<number, boolean>();

  constructor(store: Store, account: DeliverAccount) {
    this.#store = store;
    const walker = new PathWalker(store, ALL_RIGHTS);
    for (const path of account.directories) {
      if (walker.resolve(path) !== undefined) continue;
      if (walker.inode !== undefined && isDirectory(walker.inode.mode)) {
        this.#roots.add(walker.ino);
      }
    }
  }

  /** Whether a directory is one of them or below one, by its parents: no link can make it seem so. */
  contains(directory: number): boolean {
    const known = this.#known.get(directory);
    if (known !== undefined) return known;
    let at = directory;
    while (at !== ROOT_INO && !this.#roots.has(at)) at = (this.#store.inode(at) as Inode).parent;
    const inside = this.#roots.has(at);
    this.#known.set(directory, inside);
    return inside;
  }
}

/** For walks whose result is used only inside the configured directories. */
export const ALL_RIGHTS = { uid: 0, gid: 0, pid: 0, groups: [] } as const;

/**
 * Files whose map stands in the log before their snapshot (docs/FORMAT.md), when in a log with gaps nothing else is left
 * of them there: they are made with the first page, and until the snapshot only what concerns the pages so far counts.
 */
import { S_IFREG } from "../attributes.ts";
import type { Change } from "../store/records/change.ts";
import { systemTime } from "../store/store.ts";

export class EarlyMaps {
  /** Those that a snapshot says of that its pages stand before it. */
  readonly #mapped: ReadonlySet<number>;
  readonly #begun = new Set<number>();

  constructor(mapped: ReadonlySet<number>) {
    this.#mapped = mapped;
  }

  /** Before a page of a file that is not there: how it comes to be, if a snapshot follows. */
  begin(ino: number): readonly Change[] {
    if (!this.#mapped.has(ino)) return [];
    this.#begun.add(ino);
    const time = systemTime();
    const times = { atime: time, mtime: time, ctime: time };
    const attributes = { mode: S_IFREG | 0o600, uid: 0, gid: 0, nlink: 1, rdev: 0, parent: 0 };
    return [{ type: "inode", ino, ...attributes, ...times, target: Buffer.alloc(0) }];
  }

  /** Whether what the file holds is only its beginning: what is said of the rest comes again in later pages. */
  has(ino: number): boolean {
    return this.#begun.has(ino);
  }

  /** The snapshot is there, or the file is gone. */
  end(ino: number): void {
    this.#begun.delete(ino);
  }
}

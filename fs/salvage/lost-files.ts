/**
 * Files that the log goes on about although the record that made them is nowhere: with what is known they are made again, for
 * what is said of them is mail. In a log with gaps, only the index tells them from files that were deleted.
 */
import { S_IFMT, S_IFREG } from "../attributes.ts";
import type { Change } from "../store/records/change.ts";
import type { IndexView } from "../store/check/index-view.ts";
import { systemTime } from "../store/store.ts";

export class LostFiles {
  /** Those that some record makes, or says that they are gone. */
  readonly #settled: ReadonlySet<number>;
  readonly #hasGaps: boolean;
  readonly #index: IndexView | undefined;
  /** Of which it cannot be told whether they were deleted. */
  readonly unknown = new Set<number>();

  constructor(settled: ReadonlySet<number>, hasGaps: boolean, index: IndexView | undefined) {
    this.#settled = settled;
    this.#hasGaps = hasGaps;
    this.#index = index;
  }

  /** Before a change of the content of a file that is not there. */
  begin(ino: number): readonly Change[] {
    if (this.#settled.has(ino)) return [];
    const index = this.#index;
    const known = index?.state.inode(ino);
    if (index === undefined && this.#hasGaps) this.unknown.add(ino);
    const isLost =
      index === undefined
        ? !this.#hasGaps
        : known !== undefined || ino >= index.meta.counters.nextIno;
    if (!isLost || (known !== undefined && (known.mode & S_IFMT) !== S_IFREG)) return [];
    const { mode = S_IFREG | 0o600, uid = 0, gid = 0 } = known ?? {};
    const time = systemTime();
    const times = { atime: time, mtime: time, ctime: time };
    const attributes = { mode, uid, gid, nlink: 1, rdev: 0, parent: 0 };
    return [{ type: "inode", ino, ...attributes, ...times, target: Buffer.alloc(0) }];
  }
}

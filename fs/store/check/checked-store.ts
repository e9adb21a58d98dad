/** The store that is being proved, its rows in passes that show how far they are, and the list of what is wrong. */
import { firstNumber, kindRange } from "../index/keys.ts";
import type { KeyRange, StoreIndex } from "../index/store-index.ts";
import type { SegmentFiles } from "../log/segment-files.ts";
import type { Extent } from "../records/change.ts";
import type { Inode } from "../state/inode.ts";
import type { State } from "../state/state.ts";
import type { StoreInternals } from "../store.ts";
import { Problems } from "./problems.ts";

/** A stage and how much of it is done (0..1). */
export type Progress = (stage: string, part: number) => void;

const STAGES = { i: "inodes", d: "names", e: "names", u: "units" } as const;

export class CheckedStore {
  readonly internals: StoreInternals;
  readonly state: State;
  readonly index: StoreIndex;
  readonly files: SegmentFiles;
  readonly problems = new Problems();
  readonly progress: Progress;

  constructor(internals: StoreInternals, progress: Progress) {
    this.internals = internals;
    this.state = internals.state;
    this.index = internals.index;
    this.files = internals.files;
    this.progress = progress;
  }

  /** All rows of a kind, or those of them in a range. */
  async eachRow(
    kind: keyof typeof STAGES,
    visit: (key: Buffer, value: Buffer) => void,
    range: KeyRange = kindRange(kind),
  ): Promise<void> {
    let done = 0;
    await this.index.each(range, (key, value) => {
      visit(key, value);
      // What was looked at need not stay in memory.
      if (this.state.full) this.state.sweep();
      // How many there are is not known: the part nears 1.
      if (++done % 1000 === 0) this.progress(STAGES[kind], done / (done + 10_000));
    });
  }

  async eachInode(visit: (inode: Inode) => void): Promise<void> {
    await this.eachRow("i", (key) => {
      const inode = this.state.inode(firstNumber(key));
      if (inode !== undefined) visit(inode);
    });
  }

  /** All inodes with their extents, and the extents of pending deliveries. */
  async eachFile(
    visit: (extents: readonly Extent[], of: string, inode?: Inode) => void,
  ): Promise<void> {
    await this.eachInode((inode) => {
      visit(inode.tree.slice(0, inode.size), `inode ${inode.ino}`, inode);
    });
    for (const { change } of this.state.pending.values()) {
      visit(change.extents, `pending delivery ${change.id}`);
    }
  }
}

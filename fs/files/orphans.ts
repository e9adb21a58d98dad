/**
 * Inodes without a name, from losing it to the end of their bytes.
 *
 *     named --became--> waiting --forgotten and closed--> queued --turns--> dropped
 *       ^------named------'
 *
 * One is waiting while a program has it open or the kernel knows it (a working directory, a mapping). The
 * kernel says when it forgets an inode; that may reach us before or after the last close. A binding
 * whose kernel never knew the inode says nothing: such ones are asked for now and then (tick).
 * Dropping takes turns, so that the end of a large file holds nobody up; between two turns the
 * inode is a shorter file. A crash in between leaves an orphan, which the next start drops.
 */
import { assert } from "../../base/assert.ts";
import { OFFCUT_MODE } from "../store/records/offcut.ts";
import type { Change } from "../store/records/change.ts";
import { StoreError } from "../store/errors.ts";
import type { Store } from "../store/store.ts";
import { DROP_EXTENTS_MAX } from "./limits.ts";

/** Bytes at the end of a file that the first turn looks at. */
const FIRST_LOOK = 1 << 20;

interface Waiting {
  forgotten: boolean;
  /** The tick at which to ask whether the kernel knows it, and the pause after that. */
  askAt: number;
  pause: number;
}

export interface OrphansOptions {
  readonly store: Store;
  readonly isOpen: (ino: number) => boolean;
  /** Whether the kernel may still come back to an inode. */
  readonly isKnown: (ino: number) => boolean;
}

export class Orphans {
  readonly #store: Store;
  readonly #isOpen: (ino: number) => boolean;
  readonly #isKnown: (ino: number) => boolean;
  readonly #waiting = new Map<number, Waiting>();
  readonly #queued = new Set<number>();
  #dropping: Promise<void> | undefined;
  #ticks = 0;

  constructor({ store, isOpen, isKnown }: OrphansOptions) {
    this.#store = store;
    this.#isOpen = isOpen;
    this.#isKnown = isKnown;
  }

  /** The inode has no name (any more). */
  became(ino: number): void {
    this.#waiting.set(ino, { forgotten: false, askAt: this.#ticks + 2, pause: 2 });
  }

  /** The inode has a name again (linkat(2) of an O_TMPFILE). */
  named(ino: number): void {
    assert(!this.#queued.has(ino), "what is being dropped gets no name");
    this.#waiting.delete(ino);
  }

  /** The inode never had a name, and nobody but us has heard of it. */
  discard(ino: number): void {
    this.#enqueue(ino);
  }

  /** The kernel does not know the inode any more. */
  forgotten(ino: number): void {
    const waiting = this.#waiting.get(ino);
    if (waiting === undefined) return;
    waiting.forgotten = true;
    if (!this.#isOpen(ino)) this.#enqueue(ino);
  }

  /** An open file of the inode was closed. */
  closed(ino: number): void {
    if (this.#waiting.get(ino)?.forgotten === true && !this.#isOpen(ino)) this.#enqueue(ino);
  }

  /** Every few seconds: looks for orphans that nobody will report, and retries what failed. */
  tick(): void {
    this.#ticks++;
    for (const [ino, waiting] of this.#waiting) {
      if (waiting.askAt > this.#ticks || this.#isOpen(ino)) continue;
      waiting.askAt = this.#ticks + waiting.pause;
      waiting.pause *= 2;
      if (!this.#isKnown(ino)) this.#enqueue(ino);
    }
    this.#run();
  }

  /**
   * Before the mount: those that an earlier run left, which nobody can know, are dropped while the file
   * system goes on; a start does not wait for the end of a large one.
   */
  dropLeftOver(): void {
    for (const ino of this.#store.orphans()) this.#enqueue(ino);
  }

  /**
   * Instead, when a mount is taken over: the kernel may still know those that an earlier process left, but for what
   * truncations cut off, which it never knew.
   */
  adoptLeftOver(): void {
    for (const ino of this.#store.orphans()) {
      if (this.#store.inode(ino)?.mode === OFFCUT_MODE) this.#enqueue(ino);
      else this.became(ino);
    }
  }

  /** Nobody can come back to any of them: the mount is gone. */
  forgetAll(): void {
    for (const ino of this.#waiting.keys()) this.#enqueue(ino);
  }

  /** Whether the inode's bytes are on their way out: it is too late to give it a name. */
  isEnding(ino: number): boolean {
    return this.#queued.has(ino);
  }

  /** Resolves when nothing is being dropped. */
  async idle(): Promise<void> {
    while (this.#dropping !== undefined) await this.#dropping;
  }

  #enqueue(ino: number): void {
    this.#waiting.delete(ino);
    this.#queued.add(ino);
    this.#run();
  }

  #run(): void {
    if (this.#dropping !== undefined || this.#queued.size === 0) return;
    this.#dropping = this.#dropQueued().finally(() => {
      this.#dropping = undefined;
    });
    // What is not a StoreError is a broken invariant: it ends the process as an unhandled rejection.
    void this.#dropping;
  }

  async #dropQueued(): Promise<void> {
    for (const ino of this.#queued) {
      try {
        for (let look = FIRST_LOOK; look > 0;) {
          await nextTurn();
          look = dropTail(this.#store, ino, look);
        }
      } catch (error) {
        // The disk is full or failing. The inode stays queued, and the next tick tries again.
        if (error instanceof StoreError) return;
        throw error;
      }
      this.#queued.delete(ino);
    }
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/**
 * Gives back at most DROP_EXTENTS_MAX extents from the last `look` bytes of a file, or drops the inode when
 * these are all it has. Returns how many bytes the next turn should look at; 0: it is gone.
 */
function dropTail(store: Store, ino: number, look: number): number {
  const inode = store.inode(ino);
  assert(inode !== undefined && inode.nlink === 0, "only an inode without names is dropped");
  const length = Math.min(look, inode.size);
  const extents = length === 0 ? [] : store.extents(ino, inode.size - length, length);
  const count = Math.min(extents.length, DROP_EXTENTS_MAX);
  let removed = 0;
  for (let k = extents.length - count; k < extents.length; k++) removed += extents[k]?.length ?? 0;
  const offset = inode.size - removed;
  const changes: Change[] = [];
  if (removed > 0) changes.push({ type: "splice", ino, offset, remove: removed, extents: [] });
  if (offset === 0) changes.push({ type: "dropInode", ino });
  store.commit(changes);
  if (offset === 0) return 0;
  // Long extents (a hole can be 2^53 bytes): look further, to use the turn.
  return count < DROP_EXTENTS_MAX / 2 ? look * 16 : removed;
}

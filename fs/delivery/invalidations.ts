/**
 * Tells the kernel of changes that it did not make itself, and knows which of them it has not yet taken
 * note of.
 *
 * A program that gets a lock while such a notice is on its way could still see the old size and write over
 * what was just delivered. So whoever grants a lock waits for `settled` first.
 */
import type { Invalidator } from "../operations.ts";

export class Invalidations {
  #invalidator: Invalidator | undefined;
  readonly #underWay = new Map<number, Promise<void>>();

  /** Without a binding nothing is cached and nothing has to be told. */
  use(invalidator: Invalidator | undefined): void {
    this.#invalidator = invalidator;
  }

  /**
   * Attributes, and the bytes from `offset` on (< 0: none). Undefined when the kernel caches nothing of
   * the inode.
   */
  start(ino: number, offset: number): Promise<void> | undefined {
    const done = this.#invalidator?.invalidate(ino, offset);
    if (done === undefined) return undefined;
    const earlier = this.#underWay.get(ino);
    const all = earlier === undefined ? done : both(earlier, done);
    const tracked = all.finally(() => {
      if (this.#underWay.get(ino) === tracked) this.#underWay.delete(ino);
    });
    this.#underWay.set(ino, tracked);
    return tracked;
  }

  /** Resolves when the kernel knows all that has happened to the inode; undefined when it does now. */
  settled(ino: number): Promise<void> | undefined {
    return this.#underWay.get(ino);
  }
}

async function both(first: Promise<void>, second: Promise<void>): Promise<void> {
  await Promise.all([first, second]);
}

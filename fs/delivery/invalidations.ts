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
  /** The inodes of the notice that was started last: those of one delivery come with one promise. */
  #last: { readonly told: Promise<void>; readonly inodes: number[] } | undefined;

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
    if (earlier === done) return done;
    const told = earlier === undefined ? done : both(earlier, done);
    this.#underWay.set(ino, told);
    if (this.#last?.told === told) this.#last.inodes.push(ino);
    else void this.#track(told, ino);
    return told;
  }

  async #track(told: Promise<void>, ino: number): Promise<void> {
    const last = { told, inodes: [ino] };
    this.#last = last;
    await told;
    for (const inode of last.inodes) {
      if (this.#underWay.get(inode) === told) this.#underWay.delete(inode);
    }
    if (this.#last === last) this.#last = undefined;
  }

  /** Resolves when the kernel knows all that has happened to the inode; undefined when it does now. */
  settled(ino: number): Promise<void> | undefined {
    return this.#underWay.get(ino);
  }

  /** Resolves when the kernel knows all that has happened until now. */
  async allSettled(): Promise<void> {
    await Promise.all(this.#underWay.values());
  }
}

async function both(first: Promise<void>, second: Promise<void>): Promise<void> {
  await Promise.all([first, second]);
}

/**
 * Inodes that the kernel may know from an earlier process. Which ones nobody has counted: every one that there was counts
 * as known until the kernel, told that it has changed, says that it does not have it.
 */
import { KnownInodes } from "./known-inodes.ts";

export class InheritedInodes {
  /** Greater numbers were given since. */
  readonly #end: number;
  readonly #gone = new KnownInodes();
  /** Makes the kernel say whether it has an inode; what it has not comes to gone(). */
  readonly ask: (ino: number) => void;

  constructor(end: number, ask: (ino: number) => void) {
    this.#end = end;
    this.ask = ask;
  }

  has(ino: number): boolean {
    return ino < this.#end && !this.#gone.has(ino);
  }

  gone(ino: number): void {
    if (this.has(ino)) this.#gone.add(ino);
  }
}

/**
 * The table of open files: which inode each handle is for, and how often an inode is open.
 *
 * A handle's number is given once, even across restarts: a program that has a file open while the process
 * is started again comes back with its old number, which then must not mean another file.
 */
import { assert } from "../../base/assert.ts";

export interface OpenHandle {
  readonly ino: number;
  readonly flags: number;
}

export interface HandleOptions {
  /** Largest number that the binding can carry: 2^53-1 for the kernel's, 2^31-1 for fuse-native. */
  readonly handleMax?: number;
  readonly nowMs?: number;
}

/** As long as fewer files are opened per second, on average over a run, runs do not overlap. */
const OPENS_PER_SECOND = 2 ** 21;

export class Handles {
  readonly #handleMax: number;
  #next: number;
  readonly #open = new Map<number, OpenHandle>();
  readonly #counts = new Map<number, number>();

  constructor({ handleMax = Number.MAX_SAFE_INTEGER, nowMs = Date.now() }: HandleOptions = {}) {
    this.#handleMax = handleMax;
    // Seconds since 1970 fill 31 bits, so this stays below 2^53 until the year 2106. Where fewer bits
    // must do, numbers begin again at 1 and those still open are left out.
    const start = Math.floor(nowMs / 1_000) * OPENS_PER_SECOND;
    this.#next = start < handleMax ? start : 1;
  }

  get size(): number {
    return this.#open.size;
  }

  /** A number that no open file has, also used for open directories. */
  allocate(): number {
    for (;;) {
      const handle = this.#next;
      this.#next = handle >= this.#handleMax ? 1 : handle + 1;
      if (!this.#open.has(handle)) return handle;
    }
  }

  open(ino: number, flags: number): number {
    const handle = this.allocate();
    this.#open.set(handle, { ino, flags });
    this.#counts.set(ino, (this.#counts.get(ino) ?? 0) + 1);
    return handle;
  }

  /** undefined for one of an earlier run: it still works, since every request names the inode too. */
  get(handle: number): OpenHandle | undefined {
    return this.#open.get(handle);
  }

  /** Returns false for a handle that is not open. */
  close(handle: number): boolean {
    const open = this.#open.get(handle);
    if (open === undefined) return false;
    this.#open.delete(handle);
    const count = this.#counts.get(open.ino);
    assert(count !== undefined, "an open inode is counted");
    if (count === 1) this.#counts.delete(open.ino);
    else this.#counts.set(open.ino, count - 1);
    return true;
  }

  isOpen(ino: number): boolean {
    return this.#counts.has(ino);
  }
}

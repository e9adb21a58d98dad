/**
 * The table of open files: which inode each handle is for, and how often an inode is open.
 *
 * A handle's number is given once, even across restarts: a program that has a file open while the process
 * is started again comes back with its old number, which then must not mean another file.
 */
import { assert } from "../../base/assert.ts";
import { O_ACCMODE, O_RDONLY } from "./open-flags.ts";

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
  /** The same of handles that can write. */
  readonly #writerCounts = new Map<number, number>();

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
    count(this.#counts, ino, 1);
    if (canWrite(flags)) count(this.#writerCounts, ino, 1);
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
    count(this.#counts, open.ino, -1);
    if (canWrite(open.flags)) count(this.#writerCounts, open.ino, -1);
    return true;
  }

  isOpen(ino: number): boolean {
    return this.#counts.has(ino);
  }

  isOpenForWriting(ino: number): boolean {
    return this.#writerCounts.has(ino);
  }
}

export function canWrite(flags: number): boolean {
  return (flags & O_ACCMODE) !== O_RDONLY;
}

function count(counts: Map<number, number>, ino: number, delta: number): void {
  const counted = (counts.get(ino) ?? 0) + delta;
  assert(counted >= 0, "an open inode is counted");
  if (counted === 0) counts.delete(ino);
  else counts.set(ino, counted);
}

/**
 * The table of open files: which inode each handle is for, and how often an inode is open.
 *
 * A handle's number is given once, even across restarts: a program that has a file open while the process
 * is started again comes back with its old number, which then must not mean another file. The number itself tells what a
 * successor needs to know of an open file (traitsOf); requests name the inode.
 */
import { assert } from "../../base/assert.ts";
import { O_ACCMODE, O_APPEND, O_NOATIME, O_RDONLY } from "./open-flags.ts";

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
const OPENS_PER_SECOND = 2 ** 19;

/** The lowest bits of a handle. */
const APPENDS = 1;
const KEEPS_ATIME = 2;
const TRAITS = 4;

/** What the number of a handle says, whichever process gave it. */
export interface Traits {
  /** Opened with O_APPEND. */
  readonly appends: boolean;
  /** Opened with O_NOATIME. */
  readonly keepsAtime: boolean;
}

export function traitsOf(handle: number): Traits {
  // Beyond 32 bits the operators of bits do not reach.
  const bits = handle % TRAITS;
  return { appends: (bits & APPENDS) !== 0, keepsAtime: (bits & KEEPS_ATIME) !== 0 };
}

function traitBits(flags: number): number {
  return ((flags & O_APPEND) === 0 ? 0 : APPENDS) + ((flags & O_NOATIME) === 0 ? 0 : KEEPS_ATIME);
}

export class Handles {
  readonly #nextMax: number;
  /** The next number without its traits. */
  #next: number;
  readonly #open = new Map<number, OpenHandle>();
  readonly #counts = new Map<number, number>();
  /** The same of handles that can write. */
  readonly #writerCounts = new Map<number, number>();

  constructor({ handleMax = Number.MAX_SAFE_INTEGER, nowMs = Date.now() }: HandleOptions = {}) {
    // Seconds since 1970 fill 31 bits, so this stays below 2^53 until the year 2106. Where fewer bits
    // must do, numbers begin again at 1 and those still open are left out.
    const start = Math.floor(nowMs / 1_000) * OPENS_PER_SECOND;
    this.#nextMax = Math.floor(handleMax / TRAITS) - 1;
    this.#next = start < this.#nextMax ? start : 1;
  }

  get size(): number {
    return this.#open.size;
  }

  /** A number that no open file has, also used for open directories. */
  allocate(flags: number): number {
    for (;;) {
      const handle = this.#next * TRAITS + traitBits(flags);
      this.#next = this.#next >= this.#nextMax ? 1 : this.#next + 1;
      if (!this.#open.has(handle)) return handle;
    }
  }

  open(ino: number, flags: number): number {
    const handle = this.allocate(flags);
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

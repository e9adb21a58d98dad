/** Types only so far; the table is built here. */

/** end is inclusive; 2^63-1 (as a bigint or Number.MAX_SAFE_INTEGER) stands for the end of the file. */
export interface LockRange {
  readonly type: "read" | "write";
  readonly start: number;
  readonly end: number;
  readonly pid: number;
}

export interface LockRequest {
  /** The kernel's lock owner: one for each process's file table, or for each open file (OFD, flock). */
  readonly owner: bigint;
  /** The open file through which the lock was set. */
  readonly handle: number;
  readonly flavor: "posix" | "flock";
  readonly type: "read" | "write" | "unlock";
  readonly start: number;
  /** Inclusive. */
  readonly end: number;
  readonly pid: number;
}

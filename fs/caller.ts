/** Who asks. Kernel requests carry uid, gid and pid; supplementary groups are read from /proc when needed. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

/** A caller with its supplementary groups, for checks that the file system makes by itself (hints). */
export interface Credentials extends Caller {
  readonly groups: readonly number[];
}

/**
 * Errors of a file system call as the kernel numbers them (Linux, asm-generic/errno.h). An operation
 * answers with a negative number for an expected outcome ("no such name") and throws only when the
 * storage below fails.
 */

/** A negative errno, as it stands in a FUSE reply. */
export type Errno = number;

export const EPERM = -1;
export const ENOENT = -2;
export const EINTR = -4;
export const EIO = -5;
export const ENXIO = -6;
export const E2BIG = -7;
export const EBADF = -9;
export const EAGAIN = -11;
export const ENOMEM = -12;
export const EACCES = -13;
export const EBUSY = -16;
export const EEXIST = -17;
export const EXDEV = -18;
export const ENODEV = -19;
export const ENOTDIR = -20;
export const EISDIR = -21;
export const EINVAL = -22;
export const EMFILE = -24;
export const ENOTTY = -25;
export const EFBIG = -27;
export const ENOSPC = -28;
export const ESPIPE = -29;
export const EROFS = -30;
export const EMLINK = -31;
export const ERANGE = -34;
export const EDEADLK = -35;
export const ENAMETOOLONG = -36;
export const ENOLCK = -37;
export const ENOSYS = -38;
export const ENOTEMPTY = -39;
export const ELOOP = -40;
export const ENODATA = -61;
export const EPROTO = -71;
export const EBADMSG = -74;
export const EOVERFLOW = -75;
export const EMSGSIZE = -90;
export const EOPNOTSUPP = -95;
export const ESTALE = -116;
export const EDQUOT = -122;

const names: ReadonlyMap<Errno, string> = new Map([
  [EPERM, "EPERM"],
  [ENOENT, "ENOENT"],
  [EINTR, "EINTR"],
  [EIO, "EIO"],
  [ENXIO, "ENXIO"],
  [E2BIG, "E2BIG"],
  [EBADF, "EBADF"],
  [EAGAIN, "EAGAIN"],
  [ENOMEM, "ENOMEM"],
  [EACCES, "EACCES"],
  [EBUSY, "EBUSY"],
  [EEXIST, "EEXIST"],
  [EXDEV, "EXDEV"],
  [ENODEV, "ENODEV"],
  [ENOTDIR, "ENOTDIR"],
  [EISDIR, "EISDIR"],
  [EINVAL, "EINVAL"],
  [EMFILE, "EMFILE"],
  [ENOTTY, "ENOTTY"],
  [EFBIG, "EFBIG"],
  [ENOSPC, "ENOSPC"],
  [ESPIPE, "ESPIPE"],
  [EROFS, "EROFS"],
  [EMLINK, "EMLINK"],
  [ERANGE, "ERANGE"],
  [EDEADLK, "EDEADLK"],
  [ENAMETOOLONG, "ENAMETOOLONG"],
  [ENOLCK, "ENOLCK"],
  [ENOSYS, "ENOSYS"],
  [ENOTEMPTY, "ENOTEMPTY"],
  [ELOOP, "ELOOP"],
  [ENODATA, "ENODATA"],
  [EPROTO, "EPROTO"],
  [EBADMSG, "EBADMSG"],
  [EOVERFLOW, "EOVERFLOW"],
  [EMSGSIZE, "EMSGSIZE"],
  [EOPNOTSUPP, "EOPNOTSUPP"],
  [ESTALE, "ESTALE"],
  [EDQUOT, "EDQUOT"],
]);

/** The symbolic name of an errno, "E" and the number for one that is not in the table. */
export function errnoName(errno: Errno): string {
  return names.get(errno) ?? `E${-errno}`;
}

/** Whether an operation's result is an errno instead of its value. */
export function isErrno(result: unknown): result is Errno {
  return typeof result === "number" && result < 0;
}

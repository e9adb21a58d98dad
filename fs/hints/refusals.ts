/**
 * Why a hint is refused. The list is closed: the word stands in the reply, in logs and in the tests, and
 * each word always has the same errno. A refused request has changed nothing.
 */
import type { Errno } from "../../base/errno.ts";
import {
  E2BIG,
  EACCES,
  EAGAIN,
  EBUSY,
  EDQUOT,
  EFBIG,
  EINVAL,
  EIO,
  EISDIR,
  ELOOP,
  EMSGSIZE,
  ENAMETOOLONG,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  EOPNOTSUPP,
  EPERM,
  EPROTO,
  ESTALE,
  EXDEV,
} from "../../base/errno.ts";

const reasons = {
  // The frame: after the EPROTO ones nobody can tell where the next request begins.
  lineTooLong: [EPROTO, "the request's line is longer than 4 MiB"],
  notJson: [EPROTO, "the request's line is not JSON in UTF-8"],
  notAnObject: [EPROTO, "the request is not a JSON object"],
  badBodyBytes: [EPROTO, "bodyBytes is not a whole number of bytes"],
  bodyTooLong: [EMSGSIZE, "the body is longer than 16 MiB"],
  // The request.
  unknownVersion: [EOPNOTSUPP, "this file system speaks version 1 of the hint protocol"],
  unknownOperation: [EOPNOTSUPP, "no such operation"],
  unknownField: [EINVAL, "no such field"],
  badField: [EINVAL, "missing, or not what it has to be"],
  bodyMismatch: [EINVAL, "bodyBytes is not the sum of the parts of the body"],
  tooManyFiles: [E2BIG, "a request names at most 10,000 files"],
  tooManyUnits: [E2BIG, "a request names at most 4,096 units or pieces"],
  tooManyExtents: [E2BIG, "the request would add too many extents to files"],
  privateTooLong: [EMSGSIZE, "a file's private bytes are at most 64 KiB"],
  copiesTooLong: [EMSGSIZE, "one request makes at most 256 MiB of copies"],
  shareTooLong: [EMSGSIZE, "one request shares at most 256 MiB"],
  replyTooLong: [EMSGSIZE, "the reply would not fit into this ioctl"],
  // Units.
  unknownUnit: [ENOENT, "this session holds no such unit"],
  unitGone: [ESTALE, "nothing refers to the unit's bytes any more"],
  unitRange: [EINVAL, "the range is not inside the unit"],
  tooManyTokens: [EDQUOT, "this session holds as many units as it may"],
  unlinkedOfSession: [EDQUOT, "this session has written as much as may stay unlinked"],
  unlinkedOfUser: [EDQUOT, "this user has written as much as may stay unlinked"],
  unlinkedOfAll: [ENOSPC, "as much as may stay unlinked has been written"],
  // Paths and rights.
  absolutePath: [EINVAL, "paths are relative to the root of the mount"],
  pathTooLong: [ENAMETOOLONG, "a path is at most 4,095 bytes"],
  nameTooLong: [ENAMETOOLONG, "a name is at most 255 bytes"],
  notFound: [ENOENT, "no such file or directory"],
  notDirectory: [ENOTDIR, "a part of the path is not a directory"],
  isDirectory: [EISDIR, "is a directory"],
  notRegular: [EINVAL, "is not a regular file"],
  tooManyLinks: [ELOOP, "more than 40 symbolic links"],
  tooManySteps: [ELOOP, "the request's paths and links have too many parts"],
  leavesMount: [EXDEV, "the path or a symbolic link leads out of the mount"],
  linkNotFollowed: [EACCES, "another user's symbolic link in a sticky directory"],
  noSearch: [EACCES, "no permission to search a directory of the path"],
  noRead: [EACCES, "no permission to read the file"],
  noWrite: [EACCES, "no permission to write the file"],
  noCreate: [EACCES, "no permission to create a file in the directory"],
  controlFile: [EPERM, "the control file has no bytes"],
  onlyRoot: [EPERM, "only root learns what is shared"],
  ownerNotAllowed: [EPERM, "only root gives files to others"],
  notRoot: [EPERM, "only root and who mounted may ask this"],
  // Deliveries and changes.
  fileNamedTwice: [EINVAL, "the request names the file twice"],
  fileTooLarge: [EFBIG, "the file would be too large"],
  tooManyPending: [EAGAIN, "too many deliveries wait for a lock already"],
  rangeOutside: [EINVAL, "the range is not inside the file"],
  locked: [EBUSY, "another program holds a lock on the file"],
  // The store.
  storeFull: [ENOSPC, "no space left in the store"],
  storeFailed: [EIO, "the store cannot read or write"],
} as const satisfies Record<string, readonly [Errno, string]>;

export type Reason = keyof typeof reasons;

/** A path as the request gave it: text, or base64 of its bytes. */
export interface PathAsGiven {
  readonly path?: string;
  readonly path64?: string;
}

export interface Refusal {
  readonly reason: Reason;
  /** The file that is the cause. */
  readonly path?: PathAsGiven;
  /** Which field or value, for people. */
  readonly detail?: string;
}

export function errnoOf(reason: Reason): Errno {
  return reasons[reason][0];
}

export function messageOf(refusal: Refusal): string {
  const message = reasons[refusal.reason][1];
  return refusal.detail === undefined ? message : `${refusal.detail}: ${message}`;
}

export function isRefusal(value: object): value is Refusal {
  return "reason" in value;
}

/** Every reason with its errno: for the documentation's test. */
export function allReasons(): readonly (readonly [string, Errno])[] {
  return Object.entries(reasons).map(([reason, [errno]]) => [reason, errno]);
}

/**
 * What mode bits allow, as path_resolution(7) and the kernel's generic_permission() decide it.
 *
 * The kernel checks every call that comes through the mount (default_permissions). These are for
 * what it cannot check: the paths of a hint. Pure: no file system, no /proc. Not here: ACLs, which the
 * file system refuses to store, and capabilities other than those of uid 0.
 */
import type { Credentials } from "./caller.ts";
import { isDirectory } from "./attributes.ts";

/** Search, for a directory. */
export const MAY_EXECUTE = 1;
export const MAY_WRITE = 2;
export const MAY_READ = 4;

/** The part of an inode that decides. */
export interface Guarded {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export function inGroup(who: Credentials, gid: number): boolean {
  return who.gid === gid || who.groups.includes(gid);
}

/**
 * Whether `who` has all of the `wanted` rights. Exactly one class counts: an owner whom the owner's
 * bits refuse is refused, even if everybody else is allowed.
 */
export function mayAccess(inode: Guarded, who: Credentials, wanted: number): boolean {
  if (who.uid === 0) {
    // Root executes a file only if somebody may; it searches every directory.
    return (wanted & MAY_EXECUTE) === 0 || isDirectory(inode.mode) || (inode.mode & 0o111) !== 0;
  }
  let granted = inode.mode;
  if (who.uid === inode.uid) granted >>= 6;
  else if (inGroup(who, inode.gid)) granted >>= 3;
  return (granted & wanted) === wanted;
}

/** Whether `who` may make a name in the directory. */
export function mayCreateIn(directory: Guarded, who: Credentials): boolean {
  return mayAccess(directory, who, MAY_WRITE | MAY_EXECUTE);
}

/**
 * The control file: a name in the root that every lookup finds and no listing shows. It is not in
 * the store. Each open of it is a conversation with the hints (fs/hints/) on behalf of the opener.
 *
 * A second name of the root is kept for the binding to the kernel (fs/kernel/herald/): nobody can make it.
 */
import type { Attributes, Time } from "../attributes.ts";
import { S_IFREG } from "../attributes.ts";
import { ROOT_INO } from "./inodes.ts";

export const CONTROL_INO = 2;
export const CONTROL_NAME = ".onespool";

export function isControlName(parent: number, name: string): boolean {
  return parent === ROOT_INO && name === CONTROL_NAME;
}

/** A directory where the kernel's binding is, nothing where it is not. */
export const HERALD_NAME = ".onespool-herald";

/** Names in the root that the store cannot have. */
export function isReservedName(parent: number, name: string): boolean {
  return isControlName(parent, name) || (parent === ROOT_INO && name === HERALD_NAME);
}

/** Everybody may open it: what a request may do depends on who asks, not on these bits. */
export function controlAttributes(mounted: Time): Attributes {
  return {
    ino: CONTROL_INO,
    mode: S_IFREG | 0o666,
    nlink: 1,
    uid: 0,
    gid: 0,
    rdev: 0,
    size: 0,
    atime: mounted,
    mtime: mounted,
    ctime: mounted,
  };
}

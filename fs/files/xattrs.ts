/**
 * Extended attributes, in the namespaces whose rights the kernel checks: user, trusted and security.
 * POSIX ACLs (system.posix_acl_*) are refused, so that mode bits tell all there is to know of who may.
 */
import type { Errno } from "../../base/errno.ts";
import {
  E2BIG,
  EEXIST,
  EINVAL,
  ENODATA,
  ENOSPC,
  EOPNOTSUPP,
  ERANGE,
  ESTALE,
} from "../../base/errno.ts";
import type { Inode } from "../store/state/inode.ts";
import type { Store } from "../store/store.ts";
import type { FilesContext } from "./context.ts";
import { XATTR_NAME_LENGTH_MAX, XATTR_TOTAL_LENGTH_MAX, XATTR_VALUE_LENGTH_MAX } from "./limits.ts";

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;

const NAMESPACES = ["user.", "trusted.", "security."];

function nameFault(name: string): 0 | Errno {
  if (name.length > XATTR_NAME_LENGTH_MAX) return ERANGE;
  const namespace = NAMESPACES.find((prefix) => name.startsWith(prefix));
  if (namespace === undefined) return EOPNOTSUPP;
  return name.length === namespace.length ? EINVAL : 0;
}

export function setXattr(
  context: FilesContext,
  ino: number,
  name: string,
  value: Buffer,
  flags: number,
): 0 | Errno {
  const fault = nameFault(name);
  if (fault !== 0) return fault;
  if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) !== 0) return EINVAL;
  if (value.length > XATTR_VALUE_LENGTH_MAX) return E2BIG;
  const inode = context.store.inode(ino);
  if (inode === undefined) return ESTALE;
  const exists = inode.xattrs?.has(name) ?? false;
  if (exists && (flags & XATTR_CREATE) !== 0) return EEXIST;
  if (!exists && (flags & XATTR_REPLACE) !== 0) return ENODATA;
  if (totalWithout(inode, name) + name.length + value.length > XATTR_TOTAL_LENGTH_MAX) {
    return ENOSPC;
  }
  context.store.commit([
    { type: "xattr", ino, name, value: Buffer.from(value) },
    { type: "attributes", ino, ctime: context.now() },
  ]);
  return 0;
}

function totalWithout(inode: Inode, name: string): number {
  let total = 0;
  for (const [key, value] of inode.xattrs ?? []) {
    if (key !== name) total += key.length + value.length;
  }
  return total;
}

export function getXattr(store: Store, ino: number, name: string): Buffer | Errno {
  const fault = nameFault(name);
  if (fault !== 0) return fault;
  const inode = store.inode(ino);
  if (inode === undefined) return ESTALE;
  return inode.xattrs?.get(name) ?? ENODATA;
}

export function listXattr(store: Store, ino: number): readonly string[] | Errno {
  const inode = store.inode(ino);
  if (inode === undefined) return ESTALE;
  return [...(inode.xattrs?.keys() ?? [])];
}

export function removeXattr(context: FilesContext, ino: number, name: string): 0 | Errno {
  const fault = nameFault(name);
  if (fault !== 0) return fault;
  const inode = context.store.inode(ino);
  if (inode === undefined) return ESTALE;
  if (!(inode.xattrs?.has(name) ?? false)) return ENODATA;
  context.store.commit([
    { type: "xattr", ino, name, value: undefined },
    { type: "attributes", ino, ctime: context.now() },
  ]);
  return 0;
}

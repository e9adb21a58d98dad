/** Names in directories: which are possible, and which are free. */
import type { Errno } from "../../base/errno.ts";
import { EEXIST, EINVAL, ENAMETOOLONG, ENOENT } from "../../base/errno.ts";
import type { Attributes } from "../attributes.ts";
import type { Inode } from "../store/state/inode.ts";
import type { Store } from "../store/store.ts";
import { isReservedName } from "./control.ts";
import { attributesAt, directoryAt, livingDirectoryAt } from "./inodes.ts";
import { NAME_LENGTH_MAX } from "./limits.ts";

/** 0 for a name that a directory can hold. "." and ".." never get here from a kernel. */
export function nameFault(name: string): 0 | Errno {
  if (name.length > NAME_LENGTH_MAX) return ENAMETOOLONG;
  if (name === "") return ENOENT;
  if (name === "." || name === ".." || name.includes("/") || name.includes("\0")) return EINVAL;
  return 0;
}

/** Any name but the reserved ones, which are not in the store. */
export function lookup(store: Store, parent: number, name: string): Attributes | Errno {
  const directory = directoryAt(store, parent);
  if (typeof directory === "number") return directory;
  const fault = nameFault(name);
  if (fault !== 0) return fault;
  const ino = store.lookup(parent, name);
  return ino === 0 ? ENOENT : attributesAt(store, ino);
}

/** The directory that can take a new entry of this name, or why it cannot. */
export function vacancy(store: Store, parent: number, name: string): Inode | Errno {
  const directory = livingDirectoryAt(store, parent);
  if (typeof directory === "number") return directory;
  const fault = nameFault(name);
  if (fault !== 0) return fault;
  if (isReservedName(parent, name) || store.lookup(parent, name) !== 0) return EEXIST;
  return directory;
}

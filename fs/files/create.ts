/**
 * New entries: files, directories, symbolic links, devices, and second names of a file.
 *
 * A new inode belongs to the caller. In a set-gid directory it takes the directory's group, and a new
 * directory the bit as well (inode_init_owner() in Linux). The kernel has applied the umask.
 */
import type { Errno } from "../../base/errno.ts";
import { EINVAL, EMLINK, ENAMETOOLONG, ENOENT, EPERM, ESTALE } from "../../base/errno.ts";
import type { Attributes, Time } from "../attributes.ts";
import {
  isDirectory,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  S_ISGID,
} from "../attributes.ts";
import type { Caller } from "../caller.ts";
import type { InodeChange } from "../store/records/change.ts";
import type { Inode } from "../store/state/inode.ts";
import type { FilesContext } from "./context.ts";
import { attributesAt, livingDirectoryAt } from "./inodes.ts";
import { DIRECTORY_LINK_COUNT_MAX, LINK_COUNT_MAX, TARGET_LENGTH_MAX } from "./limits.ts";
import { vacancy } from "./names.ts";

const NO_TARGET = Buffer.alloc(0);

interface NewInode {
  /** With the type bits. */
  readonly mode: number;
  readonly nlink: number;
  readonly rdev?: number;
  readonly target?: Buffer;
}

function newInode(
  context: FilesContext,
  directory: Inode,
  caller: Caller,
  fields: NewInode,
  now: Time,
): InodeChange {
  const inherits = (directory.mode & S_ISGID) !== 0;
  const directoryBits = inherits && isDirectory(fields.mode) ? S_ISGID : 0;
  return {
    type: "inode",
    ino: context.store.newIno(),
    mode: fields.mode | directoryBits,
    uid: caller.uid,
    gid: inherits ? directory.gid : caller.gid,
    nlink: fields.nlink,
    rdev: fields.rdev ?? 0,
    atime: now,
    mtime: now,
    ctime: now,
    parent: isDirectory(fields.mode) ? directory.ino : 0,
    target: fields.target ?? NO_TARGET,
  };
}

/** Makes the inode and its name, and brings the directory's times and link count up to date. */
function add(
  context: FilesContext,
  directory: Inode,
  name: string,
  caller: Caller,
  fields: NewInode,
): Attributes | Errno {
  const { store } = context;
  const parent = directory.ino;
  const now = context.now();
  const inode = newInode(context, directory, caller, fields, now);
  const subdirectory = isDirectory(fields.mode);
  store.commit([
    inode,
    { type: "name", parent, name, ino: inode.ino, fileType: inode.mode & S_IFMT },
    {
      type: "attributes",
      ino: parent,
      mtime: now,
      ctime: now,
      ...(subdirectory ? { nlink: directory.nlink + 1 } : {}),
    },
  ]);
  context.nameChanged(parent, name);
  return attributesAt(store, inode.ino);
}

export function makeNode(
  context: FilesContext,
  parent: number,
  name: string,
  mode: number,
  rdev: number,
  caller: Caller,
): Attributes | Errno {
  const directory = vacancy(context.store, parent, name);
  if (typeof directory === "number") return directory;
  // mknod(2): no type at all means a regular file.
  const type = (mode & S_IFMT) === 0 ? S_IFREG : mode & S_IFMT;
  const permissions = mode & 0o7777;
  switch (type) {
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
      return add(context, directory, name, caller, { mode: type | permissions, nlink: 1 });
    case S_IFCHR:
    case S_IFBLK:
      return add(context, directory, name, caller, { mode: type | permissions, nlink: 1, rdev });
    case S_IFDIR:
      return EPERM;
    default:
      return EINVAL;
  }
}

export function makeDirectory(
  context: FilesContext,
  parent: number,
  name: string,
  mode: number,
  caller: Caller,
): Attributes | Errno {
  const directory = vacancy(context.store, parent, name);
  if (typeof directory === "number") return directory;
  if (directory.nlink >= DIRECTORY_LINK_COUNT_MAX) return EMLINK;
  return add(context, directory, name, caller, { mode: S_IFDIR | (mode & 0o7777), nlink: 2 });
}

export function symlink(
  context: FilesContext,
  parent: number,
  name: string,
  target: Buffer,
  caller: Caller,
): Attributes | Errno {
  if (target.length === 0) return ENOENT;
  if (target.length > TARGET_LENGTH_MAX) return ENAMETOOLONG;
  const directory = vacancy(context.store, parent, name);
  if (typeof directory === "number") return directory;
  // The caller's buffer may be used again after this call.
  const kept = Buffer.from(target);
  return add(context, directory, name, caller, { mode: S_IFLNK | 0o777, nlink: 1, target: kept });
}

/** O_TMPFILE: an inode without a name. It goes when it is closed, unless link names it before. */
export function createUnnamed(
  context: FilesContext,
  parent: number,
  mode: number,
  caller: Caller,
): Attributes | Errno {
  const directory = livingDirectoryAt(context.store, parent);
  if (typeof directory === "number") return directory;
  const fields = { mode: S_IFREG | (mode & 0o7777), nlink: 0 };
  const inode = newInode(context, directory, caller, fields, context.now());
  context.store.commit([inode]);
  context.orphans.became(inode.ino);
  return attributesAt(context.store, inode.ino);
}

export function link(
  context: FilesContext,
  ino: number,
  newParent: number,
  newName: string,
): Attributes | Errno {
  const { store } = context;
  const inode = store.inode(ino);
  if (inode === undefined) return ESTALE;
  if (context.orphans.isEnding(ino)) return ENOENT;
  if (isDirectory(inode.mode)) return EPERM;
  const directory = vacancy(store, newParent, newName);
  if (typeof directory === "number") return directory;
  if (inode.nlink >= LINK_COUNT_MAX) return EMLINK;
  const now = context.now();
  store.commit([
    {
      type: "name",
      parent: newParent,
      name: newName,
      ino,
      fileType: inode.mode & S_IFMT,
    },
    { type: "attributes", ino, nlink: inode.nlink + 1, ctime: now },
    { type: "attributes", ino: newParent, mtime: now, ctime: now },
  ]);
  context.orphans.named(ino);
  context.nameChanged(newParent, newName);
  return attributesAt(store, ino);
}

/** Inodes of the store as the operations see them: lookups that answer with an errno. */
import type { Errno } from "../../base/errno.ts";
import { EISDIR, EINVAL, ENOENT, ENOTDIR, ESTALE } from "../../base/errno.ts";
import type { Attributes } from "../attributes.ts";
import { isDirectory, isRegular } from "../attributes.ts";
import type { Inode } from "../store/state/inode.ts";
import type { Store } from "../store/store.ts";

export const ROOT_INO = 1;

export function attributesOf(inode: Inode): Attributes {
  return {
    ino: inode.ino,
    mode: inode.mode,
    nlink: inode.nlink,
    uid: inode.uid,
    gid: inode.gid,
    rdev: inode.rdev,
    // lstat(2): the size of a symbolic link is the length of its target.
    size: inode.target.length > 0 ? inode.target.length : inode.size,
    atime: { sec: inode.atimeSec, nsec: inode.atimeNsec },
    mtime: { sec: inode.mtimeSec, nsec: inode.mtimeNsec },
    ctime: { sec: inode.ctimeSec, nsec: inode.ctimeNsec },
  };
}

export function attributesAt(store: Store, ino: number): Attributes | Errno {
  const inode = store.inode(ino);
  return inode === undefined ? ESTALE : attributesOf(inode);
}

export function directoryAt(store: Store, ino: number): Inode | Errno {
  const inode = store.inode(ino);
  if (inode === undefined) return ESTALE;
  return isDirectory(inode.mode) ? inode : ENOTDIR;
}

/** A directory in which names may be made: not one that was removed and is still somebody's cwd. */
export function livingDirectoryAt(store: Store, ino: number): Inode | Errno {
  const inode = directoryAt(store, ino);
  if (typeof inode === "number") return inode;
  return inode.nlink === 0 ? ENOENT : inode;
}

/** A file with bytes in it. */
export function regularAt(store: Store, ino: number): Inode | Errno {
  const inode = store.inode(ino);
  if (inode === undefined) return ESTALE;
  if (isRegular(inode.mode)) return inode;
  return isDirectory(inode.mode) ? EISDIR : EINVAL;
}

/** Removing names. An inode without names lives on while it is open or known to the kernel. */
import type { Errno } from "../../base/errno.ts";
import { EBUSY, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, ESTALE } from "../../base/errno.ts";
import { isDirectory } from "../attributes.ts";
import type { Inode } from "../store/state/inode.ts";
import type { Store } from "../store/store.ts";
import type { FilesContext } from "./context.ts";
import { isControlName } from "./control.ts";
import { directoryAt } from "./inodes.ts";
import { nameFault } from "./names.ts";

export function unlink(context: FilesContext, parent: number, name: string): 0 | Errno {
  const found = entry(context.store, parent, name);
  if (typeof found === "number") return found;
  const { inode } = found;
  if (isDirectory(inode.mode)) return EISDIR;
  const nlink = inode.nlink - 1;
  const now = context.now();
  context.store.commit([
    { type: "unname", parent, name },
    { type: "attributes", ino: inode.ino, nlink, ctime: now },
    { type: "attributes", ino: parent, mtime: now, ctime: now },
  ]);
  if (nlink === 0) context.orphans.became(inode.ino);
  context.nameChanged(parent, name);
  return 0;
}

export function removeDirectory(context: FilesContext, parent: number, name: string): 0 | Errno {
  const found = entry(context.store, parent, name);
  if (typeof found === "number") return found;
  const { directory, inode } = found;
  if (!isDirectory(inode.mode)) return ENOTDIR;
  if (inode.entryCount > 0) return ENOTEMPTY;
  if (context.hasPendingIn(inode.ino)) return EBUSY;
  const now = context.now();
  context.store.commit([
    { type: "unname", parent, name },
    { type: "attributes", ino: inode.ino, nlink: 0, ctime: now },
    { type: "attributes", ino: parent, nlink: directory.nlink - 1, mtime: now, ctime: now },
  ]);
  context.orphans.became(inode.ino);
  context.nameChanged(parent, name);
  return 0;
}

function entry(
  store: Store,
  parent: number,
  name: string,
): { directory: Inode; inode: Inode } | Errno {
  const directory = directoryAt(store, parent);
  if (typeof directory === "number") return directory;
  const fault = nameFault(name);
  if (fault !== 0) return fault;
  if (isControlName(parent, name)) return EPERM;
  const ino = store.lookup(parent, name);
  if (ino === 0) return ENOENT;
  const inode = store.inode(ino);
  return inode === undefined ? ESTALE : { directory, inode };
}

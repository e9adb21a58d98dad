/** rename(2) and its flags RENAME_NOREPLACE and RENAME_EXCHANGE, each as one change. */
import { assert } from "../../base/assert.ts";
import type { Errno } from "../../base/errno.ts";
import {
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  EMLINK,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
} from "../../base/errno.ts";
import type { Time } from "../attributes.ts";
import { isDirectory, S_IFMT } from "../attributes.ts";
import type { Change } from "../store/records/change.ts";
import type { Inode } from "../store/state/inode.ts";
import type { Store } from "../store/store.ts";
import type { FilesContext } from "./context.ts";
import { isReservedName } from "./control.ts";
import { directoryAt, livingDirectoryAt, ROOT_INO } from "./inodes.ts";
import { DIRECTORY_LINK_COUNT_MAX } from "./limits.ts";
import { nameFault } from "./names.ts";

const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;

/** A name, the directory it is in, and what it means (undefined: nothing yet). */
interface Place {
  readonly directory: Inode;
  readonly name: string;
  readonly inode: Inode | undefined;
}

export function rename(
  context: FilesContext,
  parent: number,
  name: string,
  newParent: number,
  newName: string,
  flags: number,
): 0 | Errno {
  const exchange = flags === RENAME_EXCHANGE;
  if (flags !== 0 && flags !== RENAME_NOREPLACE && !exchange) return EINVAL;
  const from = place(context.store, directoryAt(context.store, parent), name);
  if (typeof from === "number") return from;
  const to = place(context.store, livingDirectoryAt(context.store, newParent), newName);
  if (typeof to === "number") return to;
  if (from.inode === undefined) return ENOENT;
  if (to.inode === undefined && exchange) return ENOENT;
  if (to.inode !== undefined && flags === RENAME_NOREPLACE) return EEXIST;
  // Two names of one file: rename(2) does nothing.
  if (to.inode?.ino === from.inode.ino) return 0;

  const { store } = context;
  if (isDirectory(from.inode.mode) && isWithin(store, newParent, from.inode.ino)) return EINVAL;
  const fault = exchange
    ? exchangeFault(store, from, to)
    : replaceFault(context, from.inode, to.inode);
  if (fault !== 0) return fault;
  if (linksAfter(from, to, exchange).some((links) => links > DIRECTORY_LINK_COUNT_MAX)) {
    return EMLINK;
  }
  const orphan = !exchange && to.inode !== undefined && lastName(to.inode) ? to.inode.ino : 0;
  const now = context.now();
  store.commit(exchange ? exchangeChanges(from, to, now) : moveChanges(from, to, now));
  if (orphan !== 0) context.orphans.became(orphan);
  context.nameChanged(parent, name);
  context.nameChanged(newParent, newName);
  return 0;
}

function place(store: Store, directory: Inode | Errno, name: string): Place | Errno {
  if (typeof directory === "number") return directory;
  const fault = nameFault(name);
  if (fault !== 0) return fault;
  if (isReservedName(directory.ino, name)) return EPERM;
  const ino = store.lookup(directory.ino, name);
  return { directory, name, inode: ino === 0 ? undefined : store.inode(ino) };
}

/** Whether directory `ino` is `ancestor` or below it. */
function isWithin(store: Store, ino: number, ancestor: number): boolean {
  let at = ino;
  while (at !== ancestor) {
    if (at === ROOT_INO) return false;
    const inode = store.inode(at);
    assert(inode !== undefined, "every directory but the root has a parent");
    at = inode.parent;
  }
  return true;
}

/** Whether an inode has one name only. A directory never has more, whatever its link count. */
function lastName(inode: Inode): boolean {
  return isDirectory(inode.mode) || inode.nlink === 1;
}

function replaceFault(context: FilesContext, moved: Inode, replaced: Inode | undefined): 0 | Errno {
  if (replaced === undefined) return 0;
  if (!isDirectory(replaced.mode)) return isDirectory(moved.mode) ? ENOTDIR : 0;
  if (!isDirectory(moved.mode)) return EISDIR;
  if (replaced.entryCount > 0) return ENOTEMPTY;
  return context.hasPendingIn(replaced.ino) ? EBUSY : 0;
}

function exchangeFault(store: Store, from: Place, to: Place): 0 | Errno {
  assert(to.inode !== undefined, "an exchange has two sides");
  const swallowed = isDirectory(to.inode.mode) && isWithin(store, from.directory.ino, to.inode.ino);
  return swallowed ? EINVAL : 0;
}

/** Link counts of the two directories afterwards: each counts the ".." of its subdirectories. */
function linksAfter(from: Place, to: Place, exchange: boolean): [number, number] {
  const moved = isDirectory(from.inode?.mode ?? 0) ? 1 : 0;
  const other = isDirectory(to.inode?.mode ?? 0) ? 1 : 0;
  const fromChange = (exchange ? other : 0) - moved;
  const toChange = moved - other;
  if (from.directory.ino === to.directory.ino) {
    const links = from.directory.nlink + fromChange + toChange;
    return [links, links];
  }
  return [from.directory.nlink + fromChange, to.directory.nlink + toChange];
}

function nameOf(at: Place, inode: Inode): Change {
  const fileType = inode.mode & S_IFMT;
  return { type: "name", parent: at.directory.ino, name: at.name, ino: inode.ino, fileType };
}

function unnameOf(at: Place): Change {
  return { type: "unname", parent: at.directory.ino, name: at.name };
}

/** A moved inode's new ctime, and a moved directory's new parent. */
function movedTo(at: Place, inode: Inode, now: Time): Change {
  const parent = isDirectory(inode.mode) ? { parent: at.directory.ino } : {};
  return { type: "attributes", ino: inode.ino, ctime: now, ...parent };
}

function directoryChanges(from: Place, to: Place, exchange: boolean, now: Time): Change[] {
  const [fromLinks, toLinks] = linksAfter(from, to, exchange);
  const times = { mtime: now, ctime: now };
  const changes: Change[] = [
    { type: "attributes", ino: to.directory.ino, nlink: toLinks, ...times },
  ];
  if (from.directory.ino !== to.directory.ino) {
    changes.push({ type: "attributes", ino: from.directory.ino, nlink: fromLinks, ...times });
  }
  return changes;
}

function moveChanges(from: Place, to: Place, now: Time): Change[] {
  assert(from.inode !== undefined, "what is moved exists");
  const changes: Change[] = [];
  if (to.inode !== undefined) {
    const nlink = lastName(to.inode) ? 0 : to.inode.nlink - 1;
    changes.push(unnameOf(to), { type: "attributes", ino: to.inode.ino, nlink, ctime: now });
  }
  changes.push(unnameOf(from), nameOf(to, from.inode), movedTo(to, from.inode, now));
  return [...changes, ...directoryChanges(from, to, false, now)];
}

function exchangeChanges(from: Place, to: Place, now: Time): Change[] {
  assert(from.inode !== undefined && to.inode !== undefined, "an exchange has two sides");
  return [
    unnameOf(from),
    unnameOf(to),
    nameOf(from, to.inode),
    nameOf(to, from.inode),
    movedTo(from, to.inode, now),
    movedTo(to, from.inode, now),
    ...directoryChanges(from, to, true, now),
  ];
}

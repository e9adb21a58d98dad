/** Reading bytes, links and places of holes; and the access times that reading leaves. */
import type { Errno } from "../../base/errno.ts";
import { EINVAL, ENXIO, ESTALE } from "../../base/errno.ts";
import { S_IFLNK, S_IFMT } from "../attributes.ts";
import type { Time } from "../attributes.ts";
import { StoreError } from "../store/errors.ts";
import type { Inode } from "../store/state/inode.ts";
import type { Store } from "../store/store.ts";
import type { FilesContext } from "./context.ts";
import { regularAt } from "./inodes.ts";

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

const DAY_SECONDS = 86_400;

/** Bytes whose extents seek looks at first; then further and further, for a hole can be 2^53 bytes. */
const SEEK_WINDOW = 1024 * 1024;
const SEEK_WINDOW_GROWTH = 4;

/**
 * What the kernel asks for at once. One buffer for all reads: a fresh one of this size for each costs more than
 * the reading. Bindings hand a reply on before they take the next request.
 */
const readBuffer = Buffer.allocUnsafeSlow(1024 * 1024);

export function read(
  context: FilesContext,
  ino: number,
  offset: number,
  length: number,
  keepAtime: boolean,
): readonly Buffer[] | Errno {
  const inode = regularAt(context.store, ino);
  if (typeof inode === "number") return inode;
  if (offset < 0) return EINVAL;
  if (!keepAtime) touch(context, inode);
  const wanted = Math.min(length, inode.size - offset);
  return wanted <= 0 ? [] : [context.store.read(ino, offset, wanted, readBuffer)];
}

/** Undefined when there is none, or when it is damaged. */
export function lastByte(
  { store }: FilesContext,
  ino: number,
): { readonly offset: number; readonly byte: number } | undefined {
  const inode = regularAt(store, ino);
  if (typeof inode === "number" || inode.size === 0) return undefined;
  const offset = inode.size - 1;
  try {
    const [byte = 0] = store.read(ino, offset, 1);
    return { offset, byte };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return undefined;
  }
}

export function readLink(context: FilesContext, ino: number): Buffer | Errno {
  const inode = context.store.inode(ino);
  if (inode === undefined) return ESTALE;
  if ((inode.mode & S_IFMT) !== S_IFLNK) return EINVAL;
  touch(context, inode);
  return inode.target;
}

/** Sets the access time where relatime, Linux's default for mounts, would. */
export function touch(context: FilesContext, inode: Inode): void {
  const now = context.now();
  if (!isStale(inode, now)) return;
  try {
    context.store.commit([{ type: "attributes", ino: inode.ino, atime: now }]);
  } catch (error) {
    // Mail is read from a full or failing disk as well; the access time is not worth an error.
    if (!(error instanceof StoreError)) throw error;
  }
}

/** relatime: not newer than the last change, or older than a day. */
function isStale(inode: Inode, now: Time): boolean {
  const { atimeSec, atimeNsec, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec } = inode;
  if (atimeSec < mtimeSec || (atimeSec === mtimeSec && atimeNsec <= mtimeNsec)) return true;
  if (atimeSec < ctimeSec || (atimeSec === ctimeSec && atimeNsec <= ctimeNsec)) return true;
  return now.sec - atimeSec >= DAY_SECONDS;
}

/** lseek(2) with SEEK_DATA or SEEK_HOLE. The end of the file counts as a hole. */
export function seek(store: Store, ino: number, offset: number, whence: number): number | Errno {
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return EINVAL;
  const inode = regularAt(store, ino);
  if (typeof inode === "number") return inode;
  if (offset < 0 || offset >= inode.size) return ENXIO;
  let at = offset;
  for (let window = SEEK_WINDOW; at < inode.size; window *= SEEK_WINDOW_GROWTH) {
    const length = Math.min(window, inode.size - at);
    for (const extent of store.extents(ino, at, length)) {
      if ((extent.unit === 0) === (whence === SEEK_HOLE)) return at;
      at += extent.length;
    }
  }
  return whence === SEEK_HOLE ? inode.size : ENXIO;
}

/** The callbacks that make, move, remove and list names. */
import type { Callbacks } from "fuse-native";
import { ENOENT, isErrno, type Errno } from "../../base/errno.ts";
import { S_IFDIR, S_IFMT } from "../attributes.ts";
import type { DirectoryEntry } from "../operations.ts";
import { answer } from "./answer.ts";
import { letGo, type NativeContext } from "./context.ts";
import { textOf, type Place } from "./paths.ts";

type NameCallbacks = Pick<
  Callbacks,
  "mknod" | "mkdir" | "symlink" | "link" | "unlink" | "rmdir" | "rename" | "readdir"
>;

/** Entries that are asked for at once. */
const READ_DIRECTORY_COUNT = 1_024;

export function nameCallbacks(context: NativeContext): NameCallbacks {
  const { operations, paths, caller } = context;

  function make(path: string, work: (place: Place) => unknown, reply: (result: number) => void) {
    answer(
      () => {
        const place = paths.newPlace(path);
        return isErrno(place) ? place : work(place);
      },
      reply,
      () => reply(0),
    );
  }

  function remove(
    path: string,
    work: (place: Place) => 0 | Errno,
    reply: (result: number) => void,
  ): void {
    answer(
      () => {
        const place = paths.place(path);
        if (isErrno(place)) return place;
        const removed = paths.at(place);
        if (isErrno(removed)) return removed;
        const result = paths.unhide(place) ? 0 : work(place);
        if (result === 0) letGo(context, removed.ino);
        return result;
      },
      reply,
      reply,
    );
  }

  return {
    mknod: (path, mode, dev, reply) =>
      make(path, ({ parent, name }) => operations.makeNode(parent, name, mode, dev, caller), reply),

    mkdir: (path, mode, reply) =>
      make(path, ({ parent, name }) => operations.makeDirectory(parent, name, mode, caller), reply),

    symlink(target, path, reply) {
      const bytes = Buffer.from(target, "utf8");
      make(path, ({ parent, name }) => operations.symlink(parent, name, bytes, caller), reply);
    },

    link(path, newPath, reply) {
      const link = ({ parent, name }: Place): unknown => {
        const ino = paths.inode(path);
        return isErrno(ino) ? ino : operations.link(ino, parent, name, caller);
      };
      make(newPath, link, reply);
    },

    unlink: (path, reply) =>
      remove(path, ({ parent, name }) => operations.unlink(parent, name, caller), reply),

    rmdir: (path, reply) =>
      remove(path, ({ parent, name }) => operations.removeDirectory(parent, name, caller), reply),

    rename: (path, newPath, reply) => answer(() => rename(context, path, newPath), reply, reply),

    readdir(path, reply) {
      answer(
        () => list(context, path),
        reply,
        (entries) => {
          const names = entries.map(({ name }) => name);
          reply(0, names, entries.map(nativeEntry));
        },
      );
    },
  };
}

function rename(context: NativeContext, path: string, newPath: string): 0 | Errno {
  const { operations, paths, files, caller } = context;
  const from = paths.place(path);
  if (isErrno(from)) return from;
  const to = paths.newPlace(newPath);
  if (isErrno(to)) return to;
  const moved = paths.at(from);
  if (isErrno(moved)) return moved;
  if (paths.isHiding(from, to) && files.isOpen(moved.ino)) {
    const result = operations.unlink(from.parent, from.name, caller);
    if (result === 0) paths.hide(to, moved.ino);
    return result;
  }
  const replaced = paths.at(to);
  if (isErrno(replaced) && replaced !== ENOENT) return replaced;
  const result = operations.rename(from.parent, from.name, to.parent, to.name, 0, caller);
  if (result === 0 && !isErrno(replaced)) letGo(context, replaced.ino);
  return result;
}

interface ListedEntry {
  readonly name: string;
  readonly ino: number;
  readonly type: number;
}

/** The whole directory: libfuse wants it at once and hands it on in pieces by itself. */
async function list(context: NativeContext, path: string): Promise<readonly ListedEntry[] | Errno> {
  const { operations, paths } = context;
  const ino = paths.inode(path);
  if (isErrno(ino)) return ino;
  const handle = operations.openDirectory(ino);
  if (isErrno(handle)) return handle;
  try {
    const entries: ListedEntry[] = [
      { name: ".", ino, type: S_IFDIR },
      { name: "..", ino: operations.parentOf(ino), type: S_IFDIR },
    ];
    for (let cookie = 0; ;) {
      const more: readonly DirectoryEntry[] | Errno = await operations.readDirectory(
        ino,
        handle,
        cookie,
        READ_DIRECTORY_COUNT,
      );
      if (typeof more === "number") return more;
      const last = more.at(-1);
      if (last === undefined) return entries;
      for (const entry of more) {
        entries.push({ name: textOf(entry.name), ino: entry.ino, type: entry.type });
      }
      cookie = last.cookie;
    }
  } finally {
    operations.releaseDirectory(handle);
  }
}

/** Only the inode number and the type reach the program. */
function nativeEntry({ ino, type }: ListedEntry) {
  return { ino, mode: type & S_IFMT, nlink: 1, size: 0, atime: 0, mtime: 0, ctime: 0 };
}

/** The callbacks that read and change what is known about files: attributes, links, xattrs, the disk. */
import type { Callbacks, Overrides, Reply } from "fuse-native";
import { EBADF, ERANGE, isErrno } from "../../base/errno.ts";
import { S_IFREG, type AttributeChange, type Attributes } from "../attributes.ts";
import { CONTROL_INO } from "../files/control.ts";
import { answer } from "./answer.ts";
import type { NativeContext } from "./context.ts";
import { bytesOf } from "./paths.ts";
import { statArray, statistics, timeOf } from "./stat.ts";

type MetadataCallbacks = Pick<
  Callbacks,
  "statfs" | "truncate" | "utimens" | "chown" | "chmod" | "readlink" | "setxattr" | "removexattr"
>;

/** chown(2)'s -1, an id that is left as it is. */
const UNCHANGED = 2 ** 32 - 1;

export function metadataCallbacks({ operations, paths, caller }: NativeContext): MetadataCallbacks {
  function change(path: string, to: AttributeChange, reply: Reply): void {
    answer(
      () => {
        const ino = paths.inode(path);
        return isErrno(ino) ? ino : operations.setAttributes(ino, to, caller);
      },
      reply,
      () => reply(0),
    );
  }

  return {
    statfs(_path, reply) {
      answer(
        () => operations.statFileSystem(),
        reply,
        (of) => reply(0, statistics(of)),
      );
    },

    truncate: (path, size, reply) => change(path, { size }, reply),
    chmod: (path, mode, reply) => change(path, { mode }, reply),
    chown: (path, uid, gid, reply) =>
      change(path, { ...(uid !== UNCHANGED && { uid }), ...(gid !== UNCHANGED && { gid }) }, reply),
    utimens: (path, atimeMs, mtimeMs, reply) =>
      change(path, { atime: timeOf(atimeMs), mtime: timeOf(mtimeMs) }, reply),

    readlink(path, reply) {
      answer(
        () => {
          const ino = paths.inode(path);
          return isErrno(ino) ? ino : operations.readLink(ino);
        },
        reply,
        (target: Buffer) => reply(0, target.toString("utf8")),
      );
    },

    setxattr(path, name, value, _position, flags, reply) {
      answer(
        () => {
          const ino = paths.inode(path);
          return isErrno(ino) ? ino : operations.setXattr(ino, bytesOf(name), value, flags);
        },
        reply,
        reply,
      );
    },

    removexattr(path, name, reply) {
      answer(
        () => {
          const ino = paths.inode(path);
          return isErrno(ino) ? ino : operations.removeXattr(ino, bytesOf(name));
        },
        reply,
        reply,
      );
    },
  };
}

/**
 * Where fuse-native's own methods are wrong: fgetattr asks by path, a link count of 0 becomes 1, and an
 * xattr that does not fit is cut off instead of refused.
 */
export function metadataOverrides(context: NativeContext): Omit<Overrides, "_fuseOptions"> {
  const { operations, paths, files, caller } = context;

  /**
   * Whoever opens the control file has this process's rights, since it is not known who does. So here it
   * belongs to the process's user and is closed to others, unlike on the kernel binding.
   */
  function told(attributes: Attributes): Uint32Array {
    if (attributes.ino !== CONTROL_INO) return statArray(attributes);
    const { uid, gid } = caller;
    return statArray({ ...attributes, mode: S_IFREG | 0o600, uid, gid });
  }

  return {
    _op_getattr(reply, path) {
      answer(
        () => paths.attributes(path),
        (errno) => reply(errno, new Uint32Array(18)),
        (attributes) => reply(0, told(attributes)),
      );
    },

    _op_fgetattr(reply, _path, fd) {
      const file = files.get(fd);
      answer(
        () => (file === undefined ? EBADF : operations.getAttributes(file.ino)),
        (errno) => reply(errno, new Uint32Array(18)),
        (attributes) => reply(0, told(attributes)),
      );
    },

    _op_getxattr(reply, path, name, room) {
      answer(
        () => {
          const ino = paths.inode(path);
          return isErrno(ino) ? ino : operations.getXattr(ino, bytesOf(name));
        },
        (errno) => reply(errno, room.buffer),
        (value: Buffer) => fill(value, room, reply),
      );
    },

    _op_listxattr(reply, path, room) {
      answer(
        () => {
          const ino = paths.inode(path);
          return isErrno(ino) ? ino : operations.listXattr(ino);
        },
        (errno) => reply(errno, room.buffer),
        (names: readonly string[]) => {
          const list = names.map((name) => `${name}\0`).join("");
          fill(Buffer.from(list, "latin1"), room, reply);
        },
      );
    },
  };
}

/** getxattr(2): no room at all asks for the length, too little is ERANGE. */
function fill(value: Buffer, room: Buffer, reply: Reply<[ArrayBufferLike]>): void {
  if (room.length > 0 && room.length < value.length) {
    reply(ERANGE, room.buffer);
    return;
  }
  value.copy(room);
  reply(value.length, room.buffer);
}

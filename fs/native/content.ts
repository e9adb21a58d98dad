/** The callbacks that open files and move bytes. They go by fd, never by path, once a file is open. */
import type { Callbacks } from "fuse-native";
import { EBADF, isErrno, type Errno } from "../../base/errno.ts";
import { S_ISGID, S_ISUID } from "../attributes.ts";
import { answer } from "./answer.ts";
import { letGo, type NativeContext } from "./context.ts";
import type { NativeOpenFile } from "./open-files.ts";

type ContentCallbacks = Pick<
  Callbacks,
  "open" | "read" | "write" | "flush" | "fsync" | "fsyncdir" | "ftruncate" | "release"
>;

const S_IXGRP = 0o010;

export function contentCallbacks(context: NativeContext): ContentCallbacks {
  const { operations, paths, files, caller } = context;

  function withFile<Value>(
    fd: number,
    work: (file: NativeOpenFile) => Value | Errno | Promise<Value | Errno>,
    refused: (errno: Errno) => void,
    done: (value: Value) => void,
  ): void {
    const file = files.get(fd);
    if (file === undefined) refused(EBADF);
    else answer(() => work(file), refused, done);
  }

  return {
    open(path, flags, reply) {
      answer(
        () => {
          const ino = paths.inode(path);
          if (isErrno(ino)) return ino;
          const opened = operations.open(ino, flags, caller);
          return isErrno(opened) ? opened : files.add({ ino, handle: opened.handle, flags });
        },
        reply,
        (fd) => reply(0, fd),
      );
    },

    read(_path, fd, buffer, length, offset, reply) {
      withFile(
        fd,
        ({ ino, handle }) => operations.read(ino, handle, offset, length, caller),
        reply,
        (parts: readonly Buffer[]) => {
          let count = 0;
          for (const part of parts) count += part.copy(buffer, count);
          reply(count);
        },
      );
    },

    // `buffer` is libfuse's own memory, which is there until the reply.
    write(_path, fd, buffer, length, offset, reply) {
      const data = buffer.subarray(0, length);
      withFile(
        fd,
        (file) => {
          dropPrivilegeBits(context, file.ino);
          return operations.write({ ...file, offset, data }, caller);
        },
        reply,
        (written) => reply(written.length),
      );
    },

    // The owner of the locks is not told, and none are ours (the kernel keeps them for this mount).
    flush(_path, fd, reply) {
      withFile(fd, ({ ino, handle }) => operations.flush(ino, handle, 0n), reply, reply);
    },

    fsync(_path, _dataOnly, fd, reply) {
      withFile(fd, ({ ino }) => operations.sync(ino), reply, reply);
    },

    fsyncdir(path, _dataOnly, _fd, reply) {
      answer(
        () => {
          const ino = paths.inode(path);
          return isErrno(ino) ? ino : operations.sync(ino);
        },
        reply,
        reply,
      );
    },

    ftruncate(_path, fd, size, reply) {
      withFile(
        fd,
        ({ ino }) => operations.setAttributes(ino, { size }, caller),
        reply,
        () => reply(0),
      );
    },

    release(_path, fd, reply) {
      answer(
        () => {
          close(context, fd);
          return 0;
        },
        reply,
        reply,
      );
    },
  };
}

/**
 * A write by an unprivileged user takes set-user-id and set-group-id away. For direct I/O the kernel leaves
 * that to the file system and marks the request; fuse-native does not hand on the mark, so every
 * write does it.
 */
function dropPrivilegeBits({ operations, caller }: NativeContext, ino: number): void {
  const attributes = operations.getAttributes(ino);
  if (isErrno(attributes)) return;
  const { mode } = attributes;
  const kept = mode & (mode & S_IXGRP ? ~(S_ISUID | S_ISGID) : ~S_ISUID);
  if (kept !== mode) operations.setAttributes(ino, { mode: kept }, caller);
}

/** The last close of an open file, by a program or because the mount is gone. */
export function close(context: NativeContext, fd: number): void {
  const { operations, paths, files } = context;
  const file = files.remove(fd);
  if (file === undefined) return;
  operations.release(file.ino, file.handle);
  if (files.isOpen(file.ino)) return;
  paths.closed(file.ino);
  letGo(context, file.ino);
}

/**
 * fuse-native 2.2.6 calls utimens with the access time twice (fuse-native.c passes l->atime for both). The
 * modification time is in the C struct all the same, and every handler is given that struct
 * (fuse_thread_locals_t) as a Buffer. Its layout on Linux with 64-bit pointers, in bytes:
 *
 *       8  op       uint32, the opcode
 *     104  atime    int64, milliseconds since 1970
 *     112  mtime    int64, milliseconds since 1970
 */
import type { NativeHandler } from "fuse-native";

/** op_utimens in fuse-native.c. */
export const UTIMENS = 12;

const OP = 8;
const ATIME = 104;
const MTIME = 112;

/** Wraps the handler of utimens so that it is given the modification time. */
export function withModificationTime(handler: NativeHandler): NativeHandler {
  return (locals, opcode, path, atimeLow, atimeHigh, mtimeLow, mtimeHigh) => {
    const known =
      locals.length >= MTIME + 8 &&
      locals.readUInt32LE(OP) === opcode &&
      locals.readUInt32LE(ATIME) === atimeLow;
    // Another layout: what fuse-native says is the best there is.
    if (!known) return handler(locals, opcode, path, atimeLow, atimeHigh, mtimeLow, mtimeHigh);
    return handler(
      locals,
      opcode,
      path,
      // A time before 1970 is negative, and its high half alone must say so.
      locals.readUInt32LE(ATIME),
      locals.readInt32LE(ATIME + 4),
      locals.readUInt32LE(MTIME),
      locals.readInt32LE(MTIME + 4),
    );
  };
}

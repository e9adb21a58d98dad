/**
 * Which requests are served: opcode -> name, size of the fixed part, handler, and whether a reply goes back.
 * What is not here gets ENOSYS, which makes the kernel do without: ACCESS (default_permissions: the kernel
 * checks), BMAP (block devices), POLL (always ready), STATX (GETATTR says as much), DAX mappings, CUSE.
 */
import {
  batchForgetIn,
  copyFileRangeIn,
  createIn,
  fallocateIn,
  flushIn,
  forgetIn,
  fsyncIn,
  getattrIn,
  getxattrIn,
  initInSizeMin,
  interruptIn,
  ioctlIn,
  linkIn,
  lkIn,
  lseekIn,
  mkdirIn,
  mknodIn,
  opcode,
  openIn,
  readIn,
  releaseIn,
  rename2In,
  renameIn,
  setattrIn,
  setxattrIn,
  syncfsIn,
  writeIn,
} from "./abi.ts";
import type { Handler } from "./outcome.ts";
import * as attributes from "./requests/attributes.ts";
import * as connection from "./requests/connection.ts";
import * as directories from "./requests/directories.ts";
import * as files from "./requests/files.ts";
import * as locks from "./requests/locks.ts";
import * as names from "./requests/names.ts";
import * as xattrs from "./requests/xattrs.ts";

export interface Served {
  readonly name: keyof typeof opcode;
  /** A shorter body is malformed. */
  readonly bodyLengthMin: number;
  readonly handler: Handler;
  readonly hasReply: boolean;
}

const table: (Served | undefined)[] = [];

function serve(
  name: keyof typeof opcode,
  bodyLengthMin: number,
  handler: Handler,
  hasReply = true,
): void {
  table[opcode[name]] = { name, bodyLengthMin, handler, hasReply };
}

serve("INIT", initInSizeMin, connection.init);
serve("DESTROY", 0, connection.destroy);
serve("STATFS", 0, connection.statfs);
serve("FORGET", forgetIn.sizeof, connection.forget, false);
serve("BATCH_FORGET", batchForgetIn.sizeof, connection.batchForget, false);
// The dispatcher itself does what an INTERRUPT asks for: it knows what waits.
serve("INTERRUPT", interruptIn.sizeof, connection.ignore, false);
serve("NOTIFY_REPLY", 0, connection.ignore, false);

serve("LOOKUP", 0, names.lookup);
serve("SYMLINK", 0, names.symlink);
serve("MKNOD", mknodIn.sizeof, names.mknod);
serve("MKDIR", mkdirIn.sizeof, names.mkdir);
serve("UNLINK", 0, names.unlink);
serve("RMDIR", 0, names.rmdir);
serve("RENAME", renameIn.sizeof, names.rename);
serve("RENAME2", rename2In.sizeof, names.rename2);
serve("LINK", linkIn.sizeof, names.link);
serve("CREATE", createIn.sizeof, names.create);
serve("TMPFILE", createIn.sizeof, names.tmpfile);

serve("GETATTR", getattrIn.sizeof, attributes.getattr);
serve("SETATTR", setattrIn.sizeof, attributes.setattr);
serve("READLINK", 0, attributes.readlink);

serve("OPEN", openIn.sizeof, files.open);
serve("READ", readIn.sizeof, files.read);
serve("WRITE", writeIn.sizeof, files.write);
serve("FLUSH", flushIn.sizeof, files.flush);
serve("RELEASE", releaseIn.sizeof, files.release);
serve("FSYNC", fsyncIn.sizeof, files.fsync);
serve("SYNCFS", syncfsIn.sizeof, files.fsync);
serve("FALLOCATE", fallocateIn.sizeof, files.fallocate);
serve("LSEEK", lseekIn.sizeof, files.lseek);
serve("COPY_FILE_RANGE", copyFileRangeIn.sizeof, files.copyFileRange);
serve("IOCTL", ioctlIn.sizeof, files.ioctl);

serve("OPENDIR", openIn.sizeof, directories.opendir);
serve("READDIR", readIn.sizeof, directories.readdir);
serve("READDIRPLUS", readIn.sizeof, directories.readdirplus);
serve("RELEASEDIR", releaseIn.sizeof, directories.releasedir);
serve("FSYNCDIR", fsyncIn.sizeof, files.fsync);

serve("GETLK", lkIn.sizeof, locks.getlk);
serve("SETLK", lkIn.sizeof, locks.setlk);
serve("SETLKW", lkIn.sizeof, locks.setlkw);

serve("SETXATTR", setxattrIn.sizeof, xattrs.setxattr);
serve("GETXATTR", getxattrIn.sizeof, xattrs.getxattr);
serve("LISTXATTR", getxattrIn.sizeof, xattrs.listxattr);
serve("REMOVEXATTR", 0, xattrs.removexattr);

/** The entry of an opcode as the kernel sent it, which may be any 32-bit number. */
export function served(number: number): Served | undefined {
  return table[number];
}

/**
 * What the herald's process asks for (child.ts). Nothing of it reaches the operations, looking aside: this process can
 * change no file, whatever it does.
 *
 * For a file the kernel sends LOOKUP of the directory; of the name, twice if it meant another file before; OPEN, WRITE
 * and RELEASE. The answer to the name is good for this one time only, so that the kernel keeps no inode for its sake but
 * the last one's, until it asks again and hears that there is no file.
 *
 * RELEASE comes from no process (pid 0) and finds no open file of this handle.
 */
import { ENOENT, EPERM, isErrno } from "../../../base/errno.ts";
import type { Errno } from "../../../base/errno.ts";
import { S_IFDIR } from "../../attributes.ts";
import type { Attributes } from "../../attributes.ts";
import {
  attrOut,
  entryOut,
  opcode,
  openFlag,
  openOut,
  rootNode,
  writeIn,
  writeOut,
} from "../abi.ts";
import { whenDone } from "../outcome.ts";
import type { Handler } from "../outcome.ts";
import type { Reply } from "../reply.ts";
import { getattr, settledAttributes } from "../requests/attributes.ts";
import { getxattr } from "../requests/xattrs.ts";
import type { Session } from "../session.ts";
import { heraldDirectory, heraldFile } from "./names.ts";

/** Neither an inode nor an open file gets this number: both are counted up from 1. */
const directoryNode = Number.MAX_SAFE_INTEGER;
const handle = Number.MAX_SAFE_INTEGER;

const epoch = { sec: 0, nsec: 0 };
const directoryAttributes: Attributes = {
  ino: directoryNode,
  mode: S_IFDIR | 0o700,
  nlink: 2,
  uid: 0,
  gid: 0,
  rdev: 0,
  size: 0,
  atime: epoch,
  mtime: epoch,
  ctime: epoch,
};

/** The name has to be asked for each time; the attributes are good as ever. */
function encodeEntry(session: Session, reply: Reply, result: Attributes | Errno): Errno | number {
  if (isErrno(result)) return result;
  reply.entry(0, result, session.options.attributeTimeoutSec);
  reply.u64(entryOut.entry_valid, 0);
  return entryOut.sizeof;
}

const lookup: Handler = (session, request, reply) => {
  const name = request.name(0);
  if (request.node === rootNode && name === heraldDirectory) {
    return encodeEntry(session, reply, directoryAttributes);
  }
  if (request.node !== directoryNode || name !== heraldFile) return ENOENT;
  const ino = session.herald?.next() ?? 0;
  if (ino === 0) return ENOENT;
  // A watcher that hears of the change must see it.
  return whenDone(settledAttributes(session, ino), (result) => {
    if (!isErrno(result)) session.grantInode(ino);
    return encodeEntry(session, reply, result);
  });
};

const attributes: Handler = (session, request, reply) => {
  if (request.node !== directoryNode) return getattr(session, request, reply);
  reply.clear(0, attrOut.attr);
  reply.u64(attrOut.attr_valid, session.options.attributeTimeoutSec);
  reply.attributes(attrOut.attr, directoryAttributes);
  return attrOut.sizeof;
};

/** Direct I/O: the byte must not get into the kernel's cache either. */
const open: Handler = (session, request, reply) => {
  if (session.herald?.take(request.node) !== true) return EPERM;
  reply.clear(0, openOut.sizeof);
  reply.u64(openOut.fh, handle);
  reply.u32(openOut.open_flags, openFlag.DIRECT_IO | openFlag.KEEP_CACHE | openFlag.NOFLUSH);
  return openOut.sizeof;
};

const write: Handler = (_session, request, reply) => {
  if (request.u64(writeIn.fh) !== handle) return EPERM;
  reply.clear(0, writeOut.sizeof);
  reply.u32(writeOut.size, request.u32(writeIn.size));
  return writeOut.sizeof;
};

const nothing: Handler = () => 0;
const refuse: Handler = () => EPERM;

const handlers: ReadonlyMap<number, Handler> = new Map([
  [opcode.LOOKUP, lookup],
  [opcode.GETATTR, attributes],
  [opcode.GETXATTR, getxattr],
  [opcode.OPEN, open],
  [opcode.WRITE, write],
  [opcode.FLUSH, nothing],
]);

export function heraldHandler(number: number): Handler {
  return handlers.get(number) ?? refuse;
}

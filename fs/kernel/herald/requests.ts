/**
 * What the herald's process asks for (child.ts). Nothing of it reaches the operations, looking aside: this process can
 * change no file, whatever it does.
 *
 * The file whose turn it is has the name `next` in a directory of the root that is listed nowhere. It is a directory of
 * its own because whoever watches a directory is told of what happens to the files that were opened in it. For each
 * file the kernel sends LOOKUP of the name, twice if it meant another file before; OPEN, WRITE and RELEASE. The
 * answer to the LOOKUP is good for this one time only, so that the kernel keeps no inode for its sake but the last one's,
 * until it asks again and hears that there is no file.
 *
 * RELEASE comes from no process (pid 0) and finds no open file of this handle.
 */
import { ENODATA, ENOENT, EPERM, ESTALE, isErrno } from "../../../base/errno.ts";
import type { Errno } from "../../../base/errno.ts";
import { S_IFDIR } from "../../attributes.ts";
import type { Attributes } from "../../attributes.ts";
import {
  attrOut,
  entryOut,
  getxattrIn,
  opcode,
  openFlag,
  openOut,
  rootNode,
  writeIn,
  writeOut,
} from "../abi.ts";
import { HERALD_NAME } from "../../files/control.ts";
import { whenDone } from "../outcome.ts";
import type { Handler } from "../outcome.ts";
import type { Reply } from "../reply.ts";
import { getattr, settledAttributes } from "../requests/attributes.ts";
import { encodeList, getxattr } from "../requests/xattrs.ts";
import type { Session } from "../session.ts";

export const heraldFile = "next";
/** The directory. Inodes and open files have safe integers: this is neither one's number. */
export const heraldNode = 2 ** 53;
export const heraldHandle = 2 ** 53;
const handle = heraldHandle;

const epoch = { sec: 0, nsec: 0 };
const directoryAttributes: Attributes = {
  ino: heraldNode,
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

/** LOOKUP of the directory in the root, by whomever: the kernel keeps it for all. */
export function encodeHeraldDirectory(session: Session, reply: Reply): number {
  reply.entry(0, directoryAttributes, session.options.attributeTimeoutSec);
  return entryOut.sizeof;
}

/** The name has to be asked for each time; the attributes are good as ever. */
function encodeFile(session: Session, reply: Reply, result: Attributes | Errno): Errno | number {
  if (isErrno(result)) return result;
  session.grantInode(result.ino);
  reply.entry(0, result, session.options.attributeTimeoutSec);
  reply.u64(entryOut.entry_valid, 0);
  return entryOut.sizeof;
}

const lookup: Handler = (session, request, reply) => {
  const name = request.name(0);
  if (request.node === rootNode && name === HERALD_NAME) {
    return encodeHeraldDirectory(session, reply);
  }
  const { herald } = session;
  if (request.node !== heraldNode || name !== heraldFile || request.pid !== herald?.pid) {
    return ENOENT;
  }
  const ino = herald.next();
  if (ino === 0) return ENOENT;
  // A watcher that hears of the change must see it.
  const attributes =
    session.settled(ino) === undefined
      ? session.operations.getAttributes(ino)
      : settledAttributes(session, ino);
  return whenDone(attributes, (result) => encodeFile(session, reply, result));
};

const attributes: Handler = (session, request, reply) => {
  if (request.node !== heraldNode) return getattr(session, request, reply);
  reply.clear(0, attrOut.attr);
  reply.u64(attrOut.attr_valid, session.options.attributeTimeoutSec);
  reply.attributes(attrOut.attr, directoryAttributes);
  return attrOut.sizeof;
};

/** Direct I/O: the byte must not get into the kernel's cache either. */
const open: Handler = (session, request, reply) => {
  const { herald } = session;
  if (request.pid !== herald?.pid || !herald.take(request.node)) return EPERM;
  reply.clear(0, openOut.sizeof);
  reply.u64(openOut.fh, handle);
  reply.u32(openOut.open_flags, openFlag.DIRECT_IO | openFlag.KEEP_CACHE | openFlag.NOFLUSH);
  return openOut.sizeof;
};

/**
 * What this reply says to be written the kernel believes to be there. A program may have cut the file off since the
 * process was told its size: the kernel would take the old one back, and append behind it. After this reply no system call
 * can: the kernel lets one write or truncation in at a time. An error changes no size and makes the kernel
 * ask for it again; the truncation was an event itself.
 */
const write: Handler = (session, request, reply) => {
  if (request.u64(writeIn.fh) !== handle) return EPERM;
  const present = session.operations.getAttributes(request.node);
  if (isErrno(present)) return present;
  if (request.u64(writeIn.offset) + request.u32(writeIn.size) > present.size) return ESTALE;
  reply.clear(0, writeOut.sizeof);
  reply.u32(writeOut.size, request.u32(writeIn.size));
  return writeOut.sizeof;
};

/** ls(1) and others ask for them before they open anything. The files are asked as ever. */
const attribute: Handler = (session, request, reply) =>
  request.node === heraldNode ? ENODATA : getxattr(session, request, reply);

const attributeNames: Handler = (_session, request, reply) =>
  request.node === heraldNode ? encodeList(reply, [], request.u32(getxattrIn.size)) : EPERM;

const nothing: Handler = () => 0;
const refuse: Handler = () => EPERM;

const handlers: ReadonlyMap<number, Handler> = new Map([
  [opcode.LOOKUP, lookup],
  [opcode.GETATTR, attributes],
  [opcode.GETXATTR, attribute],
  [opcode.LISTXATTR, attributeNames],
  [opcode.OPEN, open],
  [opcode.WRITE, write],
  [opcode.FLUSH, nothing],
]);

/** For requests of the process, and for everybody's on the directory. */
export function heraldHandler(number: number): Handler {
  return handlers.get(number) ?? refuse;
}

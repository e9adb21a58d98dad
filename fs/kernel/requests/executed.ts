/**
 * Requests that the kernel sends again although an earlier process has carried them out: its reply was lost, not its
 * commit. They are answered by what is there now, which cannot have changed: the kernel holds the directory as long as
 * the request is under way, and only the times of its inode could be others.
 */
import { EIO, isErrno } from "../../../base/errno.ts";
import type { Errno } from "../../../base/errno.ts";
import type { Attributes } from "../../attributes.ts";
import { O_DSYNC, O_TRUNC } from "../../files/open-flags.ts";
import {
  createIn,
  FUSE_WRITE_KILL_SUIDGID,
  linkIn,
  mkdirIn,
  mknodIn,
  opcode,
  writeIn,
  writeOut,
} from "../abi.ts";
import { whenDone } from "../outcome.ts";
import type { Handler, Outcome } from "../outcome.ts";
import type { Reply } from "../reply.ts";
import type { Session } from "../session.ts";
import { settledAttributes } from "./attributes.ts";
import { encodeCreated, encodeEntry, encodeLinked } from "./names.ts";

/** At the end of the file as it was then: what the kernel has cached of it may be wrong anywhere. */
const append: Handler = (session, request, reply) => {
  const ino = request.node;
  const length = request.u32(writeIn.size);
  const isKilling = (request.u32(writeIn.write_flags) & FUSE_WRITE_KILL_SUIDGID) !== 0;
  const isSync = (request.u32(writeIn.flags) & O_DSYNC) !== 0;
  return whenDone(isSync ? session.operations.sync(ino) : 0, (result) => {
    if (isErrno(result)) return result;
    // A commit of its own, which the earlier process may not have come to.
    if (isKilling) session.killPrivileges(ino);
    session.changedBehindKernel(ino, 0);
    reply.clear(0, writeOut.sizeof);
    reply.u32(writeOut.size, length);
    return writeOut.sizeof;
  });
};

/** Who has made a lock file must see all that was delivered before. */
function afterSettled(session: Session, encode: () => Errno | number): Outcome {
  return whenDone(session.settled() ?? undefined, encode);
}

function entry(namesAt: number): Handler {
  return (session, request, reply) => {
    const { node, caller } = request;
    const name = request.name(namesAt);
    return afterSettled(session, () => {
      const result = name === undefined ? EIO : session.operations.lookup(node, name, caller);
      return encodeEntry(session, reply, result);
    });
  };
}

const create: Handler = (session, request, reply: Reply) => {
  const { node, caller } = request;
  const name = request.name(createIn.sizeof);
  const flags = request.u32(createIn.flags);
  return afterSettled(session, () => {
    const attributes = name === undefined ? EIO : session.operations.lookup(node, name, caller);
    if (isErrno(attributes)) return attributes;
    const open = session.operations.open(attributes.ino, flags & ~O_TRUNC, caller);
    return encodeCreated(session, reply, isErrno(open) ? open : { attributes, open });
  });
};

/** What deliveries have changed meanwhile counts here as for a LINK that is new. */
const link: Handler = (session, request, reply) =>
  whenDone(allSettledAttributes(session, request.u64(linkIn.oldnodeid)), (attributes) =>
    encodeLinked(session, reply, attributes),
  );

async function allSettledAttributes(session: Session, ino: number): Promise<Attributes | Errno> {
  await session.settled();
  return settledAttributes(session, ino);
}

const done: Handler = (session) => afterSettled(session, () => 0);

const handlers: ReadonlyMap<number, Handler> = new Map([
  [opcode.WRITE, append],
  [opcode.CREATE, create],
  [opcode.MKNOD, entry(mknodIn.sizeof)],
  [opcode.MKDIR, entry(mkdirIn.sizeof)],
  [opcode.SYMLINK, entry(0)],
  [opcode.LINK, link],
  [opcode.UNLINK, done],
  [opcode.RMDIR, done],
  [opcode.RENAME, done],
  [opcode.RENAME2, done],
  [opcode.SETXATTR, done],
  [opcode.REMOVEXATTR, done],
]);

/** undefined: the request may be carried out again. */
export function executedHandler(number: number): Handler | undefined {
  return handlers.get(number);
}

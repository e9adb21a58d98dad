/** Requests that look names up, make, remove or move them. */
import { EINVAL, isErrno } from "../../../base/errno.ts";
import type { Errno } from "../../../base/errno.ts";
import type { Attributes } from "../../attributes.ts";
import type { Caller } from "../../caller.ts";
import { HERALD_NAME } from "../../files/control.ts";
import {
  createIn,
  entryOut,
  linkIn,
  mkdirIn,
  mknodIn,
  openOut,
  rename2In,
  renameIn,
  rootNode,
} from "../abi.ts";
import { encodeHeraldDirectory } from "../herald/requests.ts";
import { whenDone } from "../outcome.ts";
import type { Handler, Outcome } from "../outcome.ts";
import type { Reply } from "../reply.ts";
import type { Request } from "../request.ts";
import type { Session } from "../session.ts";
import { notTrustedSec, settledAttributes } from "./attributes.ts";
import { encodeOpen } from "./files.ts";

/** The reply names an inode: the kernel knows it from now on. Negative look-ups are errors, which it does not cache. */
export function encodeEntry(
  session: Session,
  reply: Reply,
  result: Attributes | Errno,
): Errno | number {
  if (isErrno(result)) return result;
  session.grantInode(result.ino);
  reply.entry(0, result, session.options.attributeTimeoutSec);
  return entryOut.sizeof;
}

const dotlockSuffix = ".lock";

/**
 * Who has made NAME.lock may believe to hold a lock on NAME, and trust the size that the kernel tells: so the
 * kernel must know of every delivery that was there before. Later ones wait for the lock.
 */
function whenLocked(
  session: Session,
  name: string,
  result: Attributes | Errno | 0,
  encode: () => Errno | number,
): Outcome {
  const settled = !isErrno(result) && name.endsWith(dotlockSuffix) ? session.settled() : undefined;
  return settled === undefined ? encode() : whenDone(settled, encode);
}

/** "." and ".." come only when a file handle of an NFS server is resolved (EXPORT_SUPPORT). */
export const lookup: Handler = (session, request, reply) => {
  const name = request.name(0);
  if (name === undefined) return EINVAL;
  const { operations } = session;
  if (name === "." || name === "..") {
    const ino = name === "." ? request.node : operations.parentOf(request.node);
    return encodeEntry(session, reply, operations.getAttributes(ino));
  }
  if (name === HERALD_NAME && request.node === rootNode && session.herald !== undefined) {
    return encodeHeraldDirectory(session, reply);
  }
  const { node, caller } = request;
  const result = operations.lookup(node, name, caller);
  if (isErrno(result) || session.settled(result.ino) === undefined) {
    return encodeEntry(session, reply, result);
  }
  return whenDone(lookupSettled(session, node, name, caller), (settled) =>
    encodeEntry(session, reply, settled),
  );
};

/** As for GETATTR: a new size must not overtake the invalidation that belongs to it (attributes.ts). */
async function lookupSettled(
  session: Session,
  parent: number,
  name: string,
  caller: Caller,
): Promise<Attributes | Errno> {
  for (;;) {
    const result = session.operations.lookup(parent, name, caller);
    const settled = isErrno(result) ? undefined : session.settled(result.ino);
    if (settled === undefined) return result;
    await settled;
  }
}

export const symlink: Handler = (session, request, reply) => {
  const name = request.name(0);
  if (name === undefined) return EINVAL;
  const target = request.name(name.length + 1);
  if (target === undefined) return EINVAL;
  const { node, caller } = request;
  const result = session.operations.symlink(node, name, Buffer.from(target, "latin1"), caller);
  return whenLocked(session, name, result, () => encodeEntry(session, reply, result));
};

export const mknod: Handler = (session, request, reply) => {
  const name = request.name(mknodIn.sizeof);
  if (name === undefined) return EINVAL;
  const mode = request.u32(mknodIn.mode);
  const rdev = request.u32(mknodIn.rdev);
  const result = session.operations.makeNode(request.node, name, mode, rdev, request.caller);
  return whenLocked(session, name, result, () => encodeEntry(session, reply, result));
};

export const mkdir: Handler = (session, request, reply) => {
  const name = request.name(mkdirIn.sizeof);
  if (name === undefined) return EINVAL;
  const mode = request.u32(mkdirIn.mode);
  const result = session.operations.makeDirectory(request.node, name, mode, request.caller);
  return whenLocked(session, name, result, () => encodeEntry(session, reply, result));
};

export function encodeLinked(
  session: Session,
  reply: Reply,
  result: Attributes | Errno,
): Errno | number {
  const length = encodeEntry(session, reply, result);
  if (!isErrno(result)) reply.u64(entryOut.attr_valid, notTrustedSec);
  return length;
}

export const link: Handler = (session, request, reply) => {
  const name = request.name(linkIn.sizeof);
  if (name === undefined) return EINVAL;
  const ino = request.u64(linkIn.oldnodeid);
  const result = session.operations.link(ino, request.node, name, request.caller);
  if (isErrno(result) || session.settled(ino) === undefined) {
    return whenLocked(session, name, result, () => encodeLinked(session, reply, result));
  }
  // The attributes from before the wait are older than what the kernel is told meanwhile.
  return whenDone(settledAttributes(session, ino), (settled) =>
    encodeLinked(session, reply, settled),
  );
};

export const unlink: Handler = (session, request) => {
  const name = request.name(0);
  if (name === undefined) return EINVAL;
  return session.operations.unlink(request.node, name, request.caller);
};

export const rmdir: Handler = (session, request) => {
  const name = request.name(0);
  if (name === undefined) return EINVAL;
  return session.operations.removeDirectory(request.node, name, request.caller);
};

export const rename: Handler = (session, request) =>
  renameNames(session, request, renameIn.sizeof, 0);

export const rename2: Handler = (session, request) =>
  renameNames(session, request, rename2In.sizeof, request.u32(rename2In.flags));

function renameNames(session: Session, request: Request, namesAt: number, flags: number): Outcome {
  const name = request.name(namesAt);
  if (name === undefined) return EINVAL;
  const newName = request.name(namesAt + name.length + 1);
  if (newName === undefined) return EINVAL;
  const newParent = request.u64(renameIn.newdir);
  const { node, caller } = request;
  const result = session.operations.rename(node, name, newParent, newName, flags, caller);
  return whenLocked(session, newName, result, () => result);
}

export const create: Handler = (session, request, reply) => {
  const name = request.name(createIn.sizeof);
  if (name === undefined) return EINVAL;
  const mode = request.u32(createIn.mode);
  const flags = request.u32(createIn.flags);
  const result = session.operations.create(request.node, name, mode, flags, request.caller);
  const made = isErrno(result) ? result : result.attributes;
  return whenLocked(session, name, made, () => encodeCreated(session, reply, result));
};

/** The name in the request is the kernel's filler. */
export const tmpfile: Handler = (session, request, reply) => {
  const mode = request.u32(createIn.mode);
  const flags = request.u32(createIn.flags);
  const result = session.operations.createUnnamed(request.node, mode, flags, request.caller);
  return encodeCreated(session, reply, result);
};

export function encodeCreated(
  session: Session,
  reply: Reply,
  result: ReturnType<Session["operations"]["create"]>,
): Errno | number {
  if (isErrno(result)) return result;
  encodeEntry(session, reply, result.attributes);
  encodeOpen(session, reply, entryOut.sizeof, result.attributes.ino, result.open);
  return entryOut.sizeof + openOut.sizeof;
}

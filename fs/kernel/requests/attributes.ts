/** GETATTR, SETATTR and READLINK. */
import { EFBIG, isErrno } from "../../../base/errno.ts";
import type { Errno } from "../../../base/errno.ts";
import type { AttributeChange, Attributes, Time } from "../../attributes.ts";
import { attrFlag, attrOut, setattrIn } from "../abi.ts";
import { whenDone } from "../outcome.ts";
import type { Handler } from "../outcome.ts";
import type { Reply } from "../reply.ts";
import type { Request } from "../request.ts";
import type { Session } from "../session.ts";

function encodeAttributes(
  reply: Reply,
  result: Attributes | Errno,
  validSec: number,
): Errno | number {
  if (isErrno(result)) return result;
  reply.clear(0, attrOut.attr);
  reply.u64(attrOut.attr_valid, validSec);
  reply.attributes(attrOut.attr, result);
  return attrOut.sizeof;
}

export const getattr: Handler = (session, request, reply) => {
  const { node } = request;
  const result =
    session.sizeTold(node) === undefined
      ? session.operations.getAttributes(node)
      : settledAttributes(session, node);
  const { attributeTimeoutSec } = session.options;
  return whenDone(result, (settled) => {
    if (session.ownWrites.shouldOutdate(node)) session.outdate(node);
    return encodeAttributes(reply, settled, attributeTimeoutSec);
  });
};

/**
 * A new size that is told before the invalidation that belongs to it would make the kernel show the zeros behind
 * the old end, which it still has in the last page. Nothing that an invalidation waits for waits for this.
 */
export async function settledAttributes(
  session: Session,
  ino: number,
): Promise<Attributes | Errno> {
  for (;;) {
    const settled = session.sizeTold(ino);
    if (settled === undefined) return session.operations.getAttributes(ino);
    await settled;
  }
}

/**
 * The kernel takes the attributes of a SETATTR's or LINK's reply as they are. Unlike those of GETATTR and LOOKUP, it
 * does not drop them when it was told of a change between the reply and the moment in which it looks at it:
 * a size from before a delivery would stay. So they are to be asked for again.
 */
export const notTrustedSec = 0;

/**
 * With HANDLE_KILLPRIV_V2 the kernel says when set-user-id and set-group-id must go (truncation by a
 * caller without CAP_FSETID, chown of anything but a directory) and leaves it to us.
 */
export const setattr: Handler = (session, request, reply) => {
  const valid = request.u32(setattrIn.valid);
  const change: { -readonly [K in keyof AttributeChange]: AttributeChange[K] } = {};
  if ((valid & attrFlag.MODE) !== 0) change.mode = request.u32(setattrIn.mode);
  if ((valid & attrFlag.UID) !== 0) change.uid = request.u32(setattrIn.uid);
  if ((valid & attrFlag.GID) !== 0) change.gid = request.u32(setattrIn.gid);
  if ((valid & attrFlag.SIZE) !== 0) {
    change.size = request.u64(setattrIn.size);
    if (!Number.isSafeInteger(change.size)) return EFBIG;
  }
  if ((valid & attrFlag.ATIME_NOW) !== 0) change.atime = "now";
  else if ((valid & attrFlag.ATIME) !== 0) {
    change.atime = time(request, setattrIn.atime, setattrIn.atimensec);
  }
  if ((valid & attrFlag.MTIME_NOW) !== 0) change.mtime = "now";
  else if ((valid & attrFlag.MTIME) !== 0) {
    change.mtime = time(request, setattrIn.mtime, setattrIn.mtimensec);
  }
  if ((valid & attrFlag.CTIME) !== 0) {
    change.ctime = time(request, setattrIn.ctime, setattrIn.ctimensec);
  }
  if ((valid & attrFlag.KILL_SUIDGID) !== 0 && change.mode === undefined) {
    const kill = session.modeAfterKill(request.node);
    if (kill?.changed === true) change.mode = kill.mode;
  }
  const result = session.operations.setAttributes(request.node, change, request.caller);
  return encodeAttributes(reply, result, notTrustedSec);
};

function time(request: Request, at: number, atNsec: number): Time {
  return { sec: request.i64(at), nsec: request.u32(atNsec) };
}

export const readlink: Handler = (session, request, reply) => {
  const result = session.operations.readLink(request.node);
  if (isErrno(result)) return result;
  reply.tail = [result];
  return 0;
};

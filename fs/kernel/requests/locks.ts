/** GETLK, SETLK and SETLKW: fcntl, OFD and flock locks, which the operations keep. */
import { EINVAL, isErrno } from "../../../base/errno.ts";
import type { LockRequest } from "../../locks/table.ts";
import { FUSE_LK_FLOCK, fileLock, lkIn } from "../abi.ts";
import { whenDone } from "../outcome.ts";
import type { Handler } from "../outcome.ts";
import type { Reply } from "../reply.ts";
import type { Request } from "../request.ts";

/** The l_type of fcntl(2). */
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
/** The kernel's end of the file. */
const OFFSET_MAX = 0x7fff_ffff_ffff_ffffn;

function decode(request: Request): LockRequest | undefined {
  const at = lkIn.lk;
  const type = lockType(request.u32(at + fileLock.type));
  const start = request.u64(at + fileLock.start);
  const end = Math.min(request.u64(at + fileLock.end), Number.MAX_SAFE_INTEGER);
  if (type === undefined || start > end) return undefined;
  return {
    owner: request.big(lkIn.owner),
    handle: request.u64(lkIn.fh),
    flavor: (request.u32(lkIn.lk_flags) & FUSE_LK_FLOCK) === 0 ? "posix" : "flock",
    type,
    start,
    end,
    pid: request.u32(at + fileLock.pid),
  };
}

function lockType(type: number): LockRequest["type"] | undefined {
  switch (type) {
    case F_RDLCK:
      return "read";
    case F_WRLCK:
      return "write";
    case F_UNLCK:
      return "unlock";
    default:
      return undefined;
  }
}

export const getlk: Handler = (session, request, reply) => {
  const lock = decode(request);
  if (lock === undefined) return EINVAL;
  const found = session.operations.getLock(request.node, lock);
  if (isErrno(found)) return found;
  reply.clear(0, fileLock.sizeof);
  if (found === undefined) {
    reply.u32(fileLock.type, F_UNLCK);
    return fileLock.sizeof;
  }
  reply.u64(fileLock.start, found.start);
  encodeEnd(reply, found.end);
  reply.u32(fileLock.type, found.type === "read" ? F_RDLCK : F_WRLCK);
  reply.u32(fileLock.pid, found.pid);
  return fileLock.sizeof;
};

function encodeEnd(reply: Reply, end: number): void {
  if (end >= Number.MAX_SAFE_INTEGER) reply.big(fileLock.end, OFFSET_MAX);
  else reply.u64(fileLock.end, end);
}

export const setlk: Handler = (session, request) => {
  const lock = decode(request);
  if (lock === undefined) return EINVAL;
  return whenDone(session.operations.setLock(request.node, lock), (result) => result);
};

/** The only request that may wait for another program, and so the one that an INTERRUPT must end. */
export const setlkw: Handler = (session, request) => {
  const lock = decode(request);
  if (lock === undefined) return EINVAL;
  if (lock.type === "unlock") {
    return whenDone(session.operations.setLock(request.node, lock), (result) => result);
  }
  const controller = new AbortController();
  return whenDone(
    session.operations.setLockWait(request.node, lock, controller.signal),
    (result) => result,
    () => controller.abort(),
  );
};

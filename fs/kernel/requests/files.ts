/** Open files: their bytes, and what else happens through a descriptor. */
import { assert } from "../../../base/assert.ts";
import { EBADF, EFBIG, EINVAL, ENXIO, EOVERFLOW, isErrno } from "../../../base/errno.ts";
import type { Errno } from "../../../base/errno.ts";
import type { OpenFile, Written } from "../../operations.ts";
import {
  FUSE_OPEN_KILL_SUIDGID,
  FUSE_WRITE_KILL_SUIDGID,
  copyFileRangeIn,
  fallocateIn,
  flushIn,
  ioctlIn,
  ioctlOut,
  lseekIn,
  lseekOut,
  openFlag,
  openIn,
  openOut,
  readIn,
  releaseIn,
  writeIn,
  writeOut,
} from "../abi.ts";
import { whenDone } from "../outcome.ts";
import type { Handler } from "../outcome.ts";
import type { Reply } from "../reply.ts";
import type { Session } from "../session.ts";
import { readsWillCome } from "./access-time.ts";

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/**
 * KEEP_CACHE also for direct I/O: an open for appending must not throw away what others have cached.
 */
export function encodeOpen(
  session: Session,
  reply: Reply,
  at: number,
  ino: number,
  open: OpenFile,
): void {
  session.grantFile(ino, open);
  let flags: number = openFlag.KEEP_CACHE;
  if (open.directIo) flags |= openFlag.DIRECT_IO;
  if (open.stream) flags |= openFlag.STREAM | openFlag.NONSEEKABLE;
  reply.clear(at, openOut.sizeof);
  reply.u64(at + openOut.fh, open.handle);
  reply.u32(at + openOut.open_flags, flags);
}

export const open: Handler = (session, request, reply) => {
  const { node, caller } = request;
  const flags = request.u32(openIn.flags);
  const isKilling = (request.u32(openIn.open_flags) & FUSE_OPEN_KILL_SUIDGID) !== 0;
  return whenDone(readsWillCome(session, node, flags), () => {
    const result = session.operations.open(node, flags, caller);
    if (isErrno(result)) return result;
    if (isKilling) session.killPrivileges(node);
    encodeOpen(session, reply, 0, node, result);
    return openOut.sizeof;
  });
};

export const read: Handler = (session, request, reply) => {
  const handle = request.u64(readIn.fh);
  const offset = request.u64(readIn.offset);
  const length = Math.min(request.u32(readIn.size), session.options.transferLengthMax);
  if (!Number.isSafeInteger(offset + length)) return 0;
  return whenDone(
    session.operations.read(request.node, handle, offset, length, request.caller),
    (result) => {
      if (isErrno(result)) return result;
      let total = 0;
      for (const part of result) total += part.length;
      assert(total <= length, "a read returns at most what was asked for");
      reply.tail = result;
      return 0;
    },
  );
};

/**
 * Two ways in which the kernel's cached bytes can be wrong after a write:
 * - A buffered write with O_APPEND (set by fcntl after the open) is cached where the kernel believed the end to
 *   be. When the bytes went elsewhere, the cache goes from the lower of the two places on, after the reply: the
 *   pages of the write are locked until then.
 * - A direct write of one descriptor races with a cached read of another: older kernels (Linux 6.1) drop the
 *   pages only before they send the write, and a page that was read in between stays. So when the file is
 *   open more than once, its pages go before the reply, when every earlier READ has been answered.
 */
export const write: Handler = (session, request, reply) => {
  const ino = request.node;
  const handle = request.u64(writeIn.fh);
  const offset = request.u64(writeIn.offset);
  const data = request.data(writeIn.sizeof, request.u32(writeIn.size));
  if (data === undefined) return EINVAL;
  if (!Number.isSafeInteger(offset + data.length)) return EFBIG;
  const isKilling = (request.u32(writeIn.write_flags) & FUSE_WRITE_KILL_SUIDGID) !== 0;
  const flags = request.u32(writeIn.flags);
  const { caller } = request;
  const file = session.openFile(ino, handle);
  const isDirect = file?.directIo === true && !file.stream;
  const written = session.operations.write({ ino, handle, offset, data, flags }, caller);
  const isRacing = isDirect && session.isOpenTwice(ino);
  return whenDone(isRacing ? dropPages(session, ino, offset, written) : written, (result) => {
    if (isErrno(result)) return result;
    if (isKilling) session.killPrivileges(ino);
    if (result.offset === offset) session.ownWrites.wrote(ino);
    else if (file?.directIo !== true) {
      session.changedBehindKernel(ino, Math.min(result.offset, offset));
    }
    reply.clear(0, writeOut.sizeof);
    reply.u32(writeOut.size, result.length);
    return writeOut.sizeof;
  });
};

async function dropPages(
  session: Session,
  ino: number,
  offset: number,
  written: ReturnType<Session["operations"]["write"]>,
): Promise<Written | Errno> {
  const result = await written;
  if (!isErrno(result)) await session.invalidate(ino, Math.min(result.offset, offset));
  return result;
}

export const flush: Handler = (session, request) =>
  session.operations.flush(request.node, request.u64(flushIn.fh), request.big(flushIn.lock_owner));

/** FUSE_RELEASE_FLOCK_UNLOCK needs no look: a release drops whatever was locked through the handle. */
export const release: Handler = (session, request) =>
  session.release(request.u64(releaseIn.fh), request.node) ? 0 : EBADF;

/** FSYNC, FSYNCDIR and SYNCFS. An interrupt changes nothing: the sync is under way. */
export const fsync: Handler = (session, request) =>
  whenDone(session.operations.sync(request.node), (result) => result);

export const fallocate: Handler = (session, request) => {
  const offset = request.u64(fallocateIn.offset);
  const length = request.u64(fallocateIn.length);
  if (!Number.isSafeInteger(offset + length)) return EFBIG;
  const { node, caller } = request;
  const mode = request.u32(fallocateIn.mode);
  const result = session.operations.allocate(node, mode, offset, length);
  if (result === 0 && caller.uid !== 0) session.killPrivileges(node);
  return result;
};

export const lseek: Handler = (session, request, reply) => {
  const offset = request.u64(lseekIn.offset);
  const whence = request.u32(lseekIn.whence);
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return EINVAL;
  if (!Number.isSafeInteger(offset)) return ENXIO;
  const result = session.operations.seek(request.node, offset, whence);
  if (isErrno(result)) return result;
  reply.u64(lseekOut.offset, result);
  return lseekOut.sizeof;
};

/** The reply's size has 32 bits: a longer request is done in part, and the program asks again. */
const copyLengthMax = 0x7fff_f000;

export const copyFileRange: Handler = (session, request, reply) => {
  const source = { ino: request.node, offset: request.u64(copyFileRangeIn.off_in) };
  const target = {
    ino: request.u64(copyFileRangeIn.nodeid_out),
    offset: request.u64(copyFileRangeIn.off_out),
  };
  const length = Math.min(request.u64(copyFileRangeIn.len), copyLengthMax);
  if (request.u64(copyFileRangeIn.flags) !== 0) return EINVAL;
  if (!Number.isSafeInteger(source.offset + length)) return EOVERFLOW;
  if (!Number.isSafeInteger(target.offset + length)) return EFBIG;
  const { caller } = request;
  const result = session.operations.copyRange(source, target, length);
  if (isErrno(result)) return result;
  if (caller.uid !== 0) session.killPrivileges(target.ino);
  reply.clear(0, writeOut.sizeof);
  reply.u32(writeOut.size, result);
  return writeOut.sizeof;
};

/** The input is copied: a hint may outlive this turn. An interrupt does not undo one. */
export const ioctl: Handler = (session, request, reply) => {
  const input = request.data(ioctlIn.sizeof, request.u32(ioctlIn.in_size));
  if (input === undefined) return EINVAL;
  const outputLengthMax = request.u32(ioctlIn.out_size);
  const { operations } = session;
  const soon = operations.ioctl(
    request.node,
    request.u64(ioctlIn.fh),
    request.u32(ioctlIn.cmd),
    Buffer.from(input),
    outputLengthMax,
    request.caller,
  );
  return whenDone(soon, (result) => {
    if (isErrno(result)) return result;
    assert(result.data.length <= outputLengthMax, "an ioctl's output fits the caller's buffer");
    reply.clear(0, ioctlOut.sizeof);
    reply.u32(ioctlOut.result, result.result);
    reply.tail = [result.data];
    return ioctlOut.sizeof;
  });
};

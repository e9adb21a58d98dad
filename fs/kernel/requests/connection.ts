/** Requests about the connection itself: INIT, DESTROY, STATFS, and what the kernel forgets. */
import { EPROTO } from "../../../base/errno.ts";
import {
  batchForgetIn,
  forgetIn,
  forgetOne,
  initFlag,
  initFlag2,
  initIn,
  initOut,
  kstatfs,
  protocolMajor,
  protocolMinorMax,
  protocolMinorMin,
} from "../abi.ts";
import type { Handler } from "../outcome.ts";

/**
 * What is asked for, where the kernel has it.
 * - No WRITEBACK_CACHE: a write is with the file system when write(2) returns.
 * - EXPLICIT_INVAL_DATA and no AUTO_INVAL_DATA: cached bytes go only by our invalidations and the kernel's
 *   own writes, so a mailbox that grew by a hint keeps its cached beginning.
 * - HANDLE_KILLPRIV_V2: without it the kernel sends a GETXATTR of security.capability before every write.
 * - ABORT_ERROR tells an abort from an unmount.
 */
const wanted =
  initFlag.ASYNC_READ |
  initFlag.POSIX_LOCKS |
  initFlag.ATOMIC_O_TRUNC |
  initFlag.EXPORT_SUPPORT |
  initFlag.BIG_WRITES |
  initFlag.FLOCK_LOCKS |
  initFlag.HAS_IOCTL_DIR |
  initFlag.DO_READDIRPLUS |
  initFlag.READDIRPLUS_AUTO |
  initFlag.ASYNC_DIO |
  initFlag.PARALLEL_DIROPS |
  initFlag.ABORT_ERROR |
  initFlag.MAX_PAGES |
  initFlag.CACHE_SYMLINKS |
  initFlag.EXPLICIT_INVAL_DATA |
  initFlag.HANDLE_KILLPRIV_V2 |
  initFlag.INIT_EXT;

/**
 * A shared mmap of a file that is open with O_APPEND (direct I/O); and what a successor of this process needs to take
 * the mount over.
 */
const wanted2 = initFlag2.DIRECT_IO_ALLOW_MMAP | initFlag2.HAS_RESEND;

const pageLength = 4096;
/** Requests in flight that no program waits for (read-ahead): below this many the kernel does not hold back. */
const backgroundMax = 128;
const readAheadMax = 1024 * 1024;

export const init: Handler = (session, request, reply) => {
  const major = request.u32(initIn.major);
  const minor = request.u32(initIn.minor);
  reply.clear(0, initOut.sizeof);
  reply.u32(initOut.major, protocolMajor);
  reply.u32(initOut.minor, Math.min(minor, protocolMinorMax));
  // A newer major: the kernel takes ours from this reply and sends INIT again.
  if (major > protocolMajor) return initOut.sizeof;
  if (major < protocolMajor || minor < protocolMinorMin) {
    session.refusal =
      `the kernel speaks FUSE ${major}.${minor}, ` +
      `at least ${protocolMajor}.${protocolMinorMin} (Linux 5.2) is needed`;
    return EPROTO;
  }
  const flags = request.u32(initIn.flags);
  const extended = (flags & initFlag.INIT_EXT) !== 0 && request.bodyLength >= initIn.sizeof;
  const flags2 = extended ? request.u32(initIn.flags2) : 0;
  const { transferLengthMax } = session.options;
  // Without MAX_PAGES the kernel takes 32 pages, whatever max_write says.
  reply.u32(initOut.flags, flags & (extended ? wanted : wanted & ~initFlag.INIT_EXT));
  const given2 = flags2 & (session.options.withoutResend === true ? ~initFlag2.HAS_RESEND : -1);
  reply.u32(initOut.flags2, given2 & wanted2);
  session.resends = (given2 & initFlag2.HAS_RESEND) !== 0;
  reply.u32(initOut.max_readahead, readAheadMax);
  reply.u16(initOut.max_background, backgroundMax);
  reply.u16(initOut.congestion_threshold, (backgroundMax * 3) / 4);
  reply.u32(initOut.max_write, transferLengthMax);
  reply.u32(initOut.time_gran, 1);
  reply.u16(initOut.max_pages, Math.ceil(transferLengthMax / pageLength));
  session.minor = Math.min(minor, protocolMinorMax);
  session.onConnected?.();
  return initOut.sizeof;
};

/** The kernel unmounts. The device's end follows, and that is what counts. */
export const destroy: Handler = () => 0;

export const forget: Handler = (session, request) => {
  session.forget(request.node, request.u64(forgetIn.nlookup));
  return 0;
};

export const batchForget: Handler = (session, request) => {
  const room = Math.floor((request.bodyLength - batchForgetIn.sizeof) / forgetOne.sizeof);
  const count = Math.min(request.u32(batchForgetIn.count), room);
  for (let index = 0; index < count; index += 1) {
    const at = batchForgetIn.sizeof + index * forgetOne.sizeof;
    session.forget(request.u64(at + forgetOne.nodeid), request.u64(at + forgetOne.nlookup));
  }
  return 0;
};

export const statfs: Handler = (session, _request, reply) => {
  const statistics = session.operations.statFileSystem();
  reply.clear(0, kstatfs.sizeof);
  reply.u64(kstatfs.blocks, statistics.blocks);
  reply.u64(kstatfs.bfree, statistics.blocksFree);
  reply.u64(kstatfs.bavail, statistics.blocksAvailable);
  reply.u64(kstatfs.files, statistics.files);
  reply.u64(kstatfs.ffree, statistics.filesFree);
  reply.u32(kstatfs.bsize, statistics.blockSize);
  reply.u32(kstatfs.frsize, statistics.blockSize);
  reply.u32(kstatfs.namelen, statistics.nameLengthMax);
  return kstatfs.sizeof;
};

/** Nothing to do and nothing to answer (NOTIFY_REPLY: only RETRIEVE has one). */
export const ignore: Handler = () => 0;

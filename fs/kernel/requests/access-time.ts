/**
 * The access time of a file that is read from the kernel's cache. Such reads do not come here, and the kernel sets no
 * access time of a FUSE file itself: after a program has written to a mailbox, whose bytes the kernel then has, it would
 * count as not read for ever, and mail programs would tell of new mail in it.
 *
 * So an open for reading that would change the access time makes the kernel forget the last page. Who reads the
 * file to its end asks for that one.
 */
import { isErrno } from "../../../base/errno.ts";
import type { Time } from "../../attributes.ts";
import { isRegular } from "../../attributes.ts";
import { O_APPEND, O_NOATIME, O_TRUNC } from "../../files/open-flags.ts";
import type { Session } from "../session.ts";

const O_ACCMODE = 0o3;
const O_WRONLY = 0o1;

/** Resolves when a read will come here; undefined when it will by itself, or need not. */
export function readsWillCome(
  session: Session,
  ino: number,
  flags: number,
): Promise<void> | undefined {
  // Bytes of a file that is open for appending are not cached, and one that is truncated has none.
  if ((flags & O_ACCMODE) === O_WRONLY) return undefined;
  if ((flags & (O_APPEND | O_NOATIME | O_TRUNC)) !== 0) return undefined;
  const attributes = session.operations.getAttributes(ino);
  if (isErrno(attributes) || !isRegular(attributes.mode) || attributes.size === 0) return undefined;
  const { size, atime, mtime, ctime } = attributes;
  // As relatime has it (fs/files/read.ts). That it is a day old changes nothing that programs look at.
  if (isLater(atime, mtime) && isLater(atime, ctime)) return undefined;
  return session.invalidate(ino, size - 1);
}

function isLater(time: Time, than: Time): boolean {
  return time.sec > than.sec || (time.sec === than.sec && time.nsec > than.nsec);
}

/** Which dotlocks count, in the spool and for an import from elsewhere. Pure. */

/** A program that holds a dotlock for longer than this has died, as procmail and Dovecot see it. */
export const DOTLOCK_SECONDS_MAX = 600;

/** Whose dotlocks count, besides root's. */
export interface MailboxOwner {
  readonly uid: number;
  readonly gid: number;
}

export interface Dotlock extends MailboxOwner {
  readonly mtimeSec: number;
}

/** `nowSec`: seconds since 1970. A dotlock from further in the future than its life is not valid either. */
export function isValidDotlock(lock: Dotlock, mailbox: MailboxOwner, nowSec: number): boolean {
  if (Math.abs(nowSec - lock.mtimeSec) >= DOTLOCK_SECONDS_MAX) return false;
  return lock.uid === 0 || lock.uid === mailbox.uid || lock.gid === mailbox.gid;
}

/**
 * Dotlocks: NAME.lock beside a mailbox, the lock of programs that do not trust fcntl(2) (mutt_dotlock,
 * procmail, lockfile(1)). Whatever its type, it counts while it is young and belongs to somebody who
 * may lock this mailbox: otherwise anybody who can make a file there could stop somebody else's mail.
 */
import { NAME_LENGTH_MAX } from "../files/limits.ts";
import { DOTLOCK_SUFFIX } from "../store/state/apply.ts";
import type { Store } from "../store/store.ts";
import { isValidDotlock, type MailboxOwner } from "./dotlock-rule.ts";

/** The mailbox that a dotlock of this name would lock. */
export function mailboxOfDotlock(name: string): string | undefined {
  if (!name.endsWith(DOTLOCK_SUFFIX) || name.length === DOTLOCK_SUFFIX.length) return undefined;
  return name.slice(0, -DOTLOCK_SUFFIX.length);
}

/** Whether any name of the directory could be a dotlock: mostly not, and then no name needs a look. */
export function mayHaveDotlocks(store: Store, parent: number): boolean {
  return store.inode(parent)?.dotlockCount !== 0;
}

/** `nowSec`: seconds since 1970. */
export function isDotlocked(
  store: Store,
  parent: number,
  name: string,
  mailbox: MailboxOwner,
  nowSec: number,
): boolean {
  return dotlockOf(store, parent, name, mailbox, nowSec) !== undefined;
}

/** The owner of the valid dotlock. */
export function dotlockOf(
  store: Store,
  parent: number,
  name: string,
  mailbox: MailboxOwner,
  nowSec: number,
): { readonly uid: number } | undefined {
  if (name.length + DOTLOCK_SUFFIX.length > NAME_LENGTH_MAX) return undefined;
  if (!mayHaveDotlocks(store, parent)) return undefined;
  const lock = store.named(parent, name + DOTLOCK_SUFFIX);
  if (lock === undefined || !isValidDotlock(lock, mailbox, nowSec)) return undefined;
  return { uid: lock.uid };
}

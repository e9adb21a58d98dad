/**
 * Names in a tree of mailboxes: which are not mail and are left out, and what the import calls its own
 * unfinished files. Pure. Names are byte strings: one UTF-16 unit for each byte, for they need not be UTF-8.
 */

/** Files and directories that begin so are of an import that has not come to its end. */
export const TEMPORARY_PREFIX = ".onespool-import.";

/** Dovecot keeps indexes of mbox files in `.imap`, and files of these names beside or among mailboxes. */
const INDEX_NAMES =
  /^(?:\.imap|dovecot\.(?:index|list\.index|mailbox\.log|map\.index)(?:[.-].*)?|dovecot-uidvalidity(?:\..*)?|dovecot\.(?:log|mailbox\.log)(?:\..*)?)$/;

export function isIndex(name: string): boolean {
  return INDEX_NAMES.test(name);
}

/** `NAME.lock` beside NAME: a dotlock, which only says that somebody is at work there now. */
export function isDotlock(name: string, names: ReadonlySet<string>): boolean {
  return name.endsWith(".lock") && names.has(name.slice(0, -".lock".length));
}

export function bytesOf(path: string): Buffer {
  return Buffer.from(path, "latin1");
}

export function textOf(path: string): string {
  return bytesOf(path).toString("utf8");
}

export function join(directory: string, name: string): string {
  return directory === "" ? name : `${directory}/${name}`;
}

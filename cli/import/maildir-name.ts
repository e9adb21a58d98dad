/**
 * What the names in a maildir say. Pure; names are byte strings.
 *
 *   1204680122.M27c448P2R1.host,S=1234:2,FS     delivered at this second, flagged and seen
 *   .Archive.2024                               a subfolder of Maildir++: Archive, and in it 2024
 */

export interface MessageName {
  readonly name: string;
  /** Of the delivery, in seconds since 1970; undefined when the name does not begin with a number. */
  readonly seconds: number | undefined;
  readonly microseconds: number;
  /** Letters behind ":2,". */
  readonly flags: string;
}

const SECONDS_MAX = 2 ** 33;

export function readMessageName(name: string): MessageName {
  const [, digits, rest = ""] = /^(\d{1,11})(?:\.(.*))?$/s.exec(name) ?? [];
  const seconds = digits === undefined ? undefined : Number(digits);
  const micro = /^[^,:]*?M(\d{1,6})/.exec(rest)?.[1];
  const flags = /:2,([A-Za-z]*)[^:]*$/.exec(name)?.[1] ?? "";
  const known = seconds !== undefined && seconds < SECONDS_MAX;
  return {
    name,
    seconds: known ? seconds : undefined,
    microseconds: micro === undefined ? 0 : Number(micro),
    flags,
  };
}

/** By the time of delivery; the name decides where that is the same. */
export function inOrderOfDelivery(one: MessageName, other: MessageName): number {
  const bySecond = (one.seconds ?? 0) - (other.seconds ?? 0);
  if (bySecond !== 0) return bySecond;
  const byMicrosecond = one.microseconds - other.microseconds;
  if (byMicrosecond !== 0) return byMicrosecond;
  return one.name < other.name ? -1 : 1;
}

/** What mbox readers call the flags: values of Status and X-Status, "" for none. */
export interface MboxFlags {
  readonly status: string;
  readonly xStatus: string;
}

const X_STATUS = [
  ["R", "A"],
  ["F", "F"],
  ["D", "T"],
  ["T", "D"],
] as const;

/** A message in `cur` has been noticed by a mail program (O, old), and one in `new` has not. */
export function mboxFlags(flags: string, isInCur: boolean): MboxFlags {
  const status = `${flags.includes("S") ? "R" : ""}${isInCur ? "O" : ""}`;
  const xStatus = X_STATUS.filter(([letter]) => flags.includes(letter)).map(([, own]) => own);
  return { status, xStatus: xStatus.join("") };
}

/** `dovecot-keywords`: lines of a number and a keyword; number 0 is the letter "a" in names. */
export function readKeywordLetters(text: string): ReadonlyMap<string, string> {
  const letters = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, number, keyword] = /^(\d{1,2}) ([^\s\0]+)$/.exec(line) ?? [];
    if (number === undefined || keyword === undefined || Number(number) > 25) continue;
    letters.set(String.fromCharCode(0x61 + Number(number)), keyword);
  }
  return letters;
}

export function keywordsOf(flags: string, letters: ReadonlyMap<string, string>): string[] {
  return [...new Set(flags)].flatMap((letter) => letters.get(letter) ?? []);
}

/**
 * Where the mailbox of a Maildir++ subfolder (".A.B") goes, below the directory for the folders of its
 * maildir. A name cannot be a file and a directory at once: the folders in a folder that is a mailbox itself
 * lie in `A.folders`, in one that is not, in `A`. Undefined for a name that gives no file name.
 */
export function folderPath(name: string, all: ReadonlySet<string>): string | undefined {
  const parts = name.slice(1).split(".");
  if (parts.some((part) => part === "")) return undefined;
  const last = parts.length - 1;
  let above = "";
  const path = parts.map((part, index) => {
    above += `.${part}`;
    return index < last && all.has(above) ? part + FOLDERS_SUFFIX : part;
  });
  return path.join("/");
}

export const FOLDERS_SUFFIX = ".folders";

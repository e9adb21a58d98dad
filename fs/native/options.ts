/** The options of a libfuse 2 mount. */

export interface LibfuseOptions {
  readonly allowOther: boolean;
  /** Shown by mount(8) and df(1) as the device. */
  readonly source: string;
}

/**
 * One argument for libfuse, which fuse-native would make without what is needed here: it drops a timeout
 * of 0, and does not know direct_io.
 */
export function libfuseArgument({ allowOther, source }: LibfuseOptions): string {
  const options = [
    // A hint changes a file without the kernel's knowledge and fuse-native has no invalidation, so
    // the kernel must keep nothing: no bytes, no attributes, no names.
    "direct_io",
    "attr_timeout=0",
    "ac_attr_timeout=0",
    "entry_timeout=0",
    "negative_timeout=0",
    "default_permissions",
    // st_ino is the file's, not a number that libfuse makes up.
    "use_ino",
    // Writes of up to 128 KiB instead of 4.
    "big_writes",
    `fsname=${escaped(source)}`,
    "subtype=onespool",
  ];
  if (allowOther) options.push("allow_other");
  return `-o${options.join(",")}`;
}

function escaped(value: string): string {
  return value.replace(/[\\,]/g, (character) => `\\${character}`);
}

/** Root may let other users in; others need root's consent in /etc/fuse.conf, of which this is the text. */
export function mayAllowOther(uid: number, fuseConf: string): boolean {
  return uid === 0 || fuseConf.split("\n").some((line) => line.trim() === "user_allow_other");
}

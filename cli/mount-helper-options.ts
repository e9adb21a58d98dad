/** What -o of mount(8) and the fourth field of fstab(5) may say for a spool. Pure. */
import { UsageFailure } from "./failure.ts";
import type { Binding } from "./serving.ts";

export interface HelperOptions {
  readonly binding: Binding | "auto";
  /** Each as after -o of `onespool mount`. */
  readonly options: readonly string[];
}

/** For mount(8), systemd and fsck, or what a spool is anyway. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set(
  [
    "defaults rw auto noauto nofail _netdev nouser noowner nogroup",
    "nosuid nodev exec async nomand silent loud",
    // The spool keeps access times as relatime says, which mutt and others need to tell new mail.
    "relatime noatime nodiratime diratime nostrictatime nolazytime",
  ].flatMap((names) => names.split(" ")),
);

/** mount(8) keeps them for itself in newer versions: systemd.mount(5), comments. */
const COMMENT = /^(?:x-|X-|comment=)/;

const REMOUNT = "a spool cannot be remounted; unmount it, and mount it again";
const IN_TIME = "fsync(2) and deliveries are on the disk at once, all else within 5 seconds";

const REFUSED: ReadonlyMap<string, string> = new Map([
  ["remount", REMOUNT],
  ["ro", "a spool takes deliveries and is mounted read-write"],
  ["suid", "a spool is always mounted nosuid"],
  ["dev", "a spool is always mounted nodev"],
  ["sync", IN_TIME],
  ["dirsync", IN_TIME],
]);

/** They let users mount, and a spool mounted by a user is another thing (`onespool mount`, fuse-native). */
const FOR_USERS: ReadonlySet<string> = new Set(["user", "users", "owner", "group"]);

const OWN: ReadonlySet<string> = new Set(["deliver", "deliver_dirs", "noexec", "noreclaim"]);

const BINDINGS: readonly string[] = ["auto", "kernel", "fuse-native"];

function bindingOf(value: string): Binding | "auto" {
  if (BINDINGS.includes(value)) return value as Binding | "auto";
  throw new UsageFailure(`-o binding=${value}: it is one of ${BINDINGS.join(", ")}`);
}

/** `sloppy`, as -s of mount(8): what is not known is passed over. What is refused stays refused. */
export function parseHelperOptions(values: readonly string[], sloppy: boolean): HelperOptions {
  let binding: Binding | "auto" = "auto";
  const options: string[] = [];
  const settings = values.flatMap((value) => value.split(","));
  // mount(8) puts what the mount has before what it shall have: the first one is not the cause.
  if (settings.includes("remount")) throw new UsageFailure(`-o remount: ${REMOUNT}`);
  for (const setting of settings) {
    const [name = "", ...rest] = setting.split("=");
    const refusal = REFUSED.get(setting);
    if (setting === "" || WITHOUT_EFFECT.has(setting) || COMMENT.test(setting)) continue;
    if (refusal !== undefined) throw new UsageFailure(`-o ${setting}: ${refusal}`);
    if (FOR_USERS.has(name)) {
      throw new UsageFailure(`-o ${setting}: only root mounts a spool with mount(8)`);
    }
    if (name === "binding") binding = bindingOf(rest.join("="));
    else if (OWN.has(name)) options.push(setting);
    else if (!sloppy) throw new UsageFailure(`-o ${setting}: a spool has no such mount option`);
  }
  return { binding, options };
}

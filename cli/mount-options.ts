/** What `-o` of `onespool mount` may say, and which binding carries it. */
import { UsageFailure } from "./failure.ts";
import type { Binding } from "./serving.ts";

export interface MountOptions {
  /** The account that may append to and create mailboxes, by deliver requests alone. */
  readonly deliverUid?: number;
  /** Under which directories of the mount: paths from its root without a leading slash, "." for all of it. */
  readonly deliverDirectories?: readonly string[];
  /** No program may be run from the mount. */
  readonly noExec?: boolean;
  /** Space is not given back in the background, only by `onespool reclaim`. */
  readonly noReclaim?: boolean;
}

const allowed = "allowed are deliver=UID, deliver_dirs=/DIR[:/DIR...], noexec, noreclaim";
const UID_MAX = 0xffff_fffe;

function parseUid(value: string): number {
  const uid = Number(value);
  if (!/^\d+$/.test(value) || uid > UID_MAX) {
    throw new UsageFailure(`-o deliver=${value}: not a numeric user id (0 to ${UID_MAX})`);
  }
  return uid;
}

function parseDirectories(value: string): string[] {
  return value.split(":").map((directory) => {
    const parts = directory.split("/").filter((part) => part !== "" && part !== ".");
    if (directory.startsWith("/") && !parts.includes("..")) return parts.join("/") || ".";
    throw new UsageFailure(
      `-o deliver_dirs=${value}: "${directory}" is not a path from the root of the mount`,
    );
  });
}

/** Each argument of -o, comma-separated settings; a later one wins. */
export function parseMountOptions(values: readonly string[]): MountOptions {
  let deliverUid: number | undefined;
  let deliverDirectories: string[] | undefined;
  let noExec = false;
  let noReclaim = false;
  for (const setting of values.flatMap((value) => value.split(","))) {
    const equals = setting.indexOf("=");
    const name = equals === -1 ? setting : setting.slice(0, equals);
    const value = equals === -1 ? "" : setting.slice(equals + 1);
    if (name === "deliver") deliverUid = parseUid(value);
    else if (name === "deliver_dirs") deliverDirectories = parseDirectories(value);
    else if (setting === "noexec") noExec = true;
    else if (setting === "noreclaim") noReclaim = true;
    else throw new UsageFailure(`-o ${setting}: no such mount option; ${allowed}`);
  }
  if (deliverDirectories !== undefined && deliverUid === undefined) {
    throw new UsageFailure("-o deliver_dirs: says nothing without deliver=UID");
  }
  return {
    ...(deliverUid === undefined ? {} : { deliverUid }),
    ...(deliverDirectories === undefined ? {} : { deliverDirectories }),
    ...(noExec ? { noExec } : {}),
    ...(noReclaim ? { noReclaim } : {}),
  };
}

/** Root speaks to the kernel itself. */
export function chooseBinding(given: Binding | "auto", options: MountOptions): Binding {
  const root = process.getuid?.() === 0;
  const binding = given === "auto" ? (root ? "kernel" : "fuse-native") : given;
  if (options.deliverUid !== undefined && binding === "fuse-native") {
    throw new UsageFailure(
      "-o deliver: fuse-native does not tell who calls (--binding kernel does)",
    );
  }
  if (options.noExec === true && binding === "fuse-native") {
    throw new UsageFailure("-o noexec: fuse-native does not know it (--binding kernel does)");
  }
  return binding;
}

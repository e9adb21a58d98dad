/** The numbers of fs/kernel/abi.ts against the C header, by a compiled C program. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import {
  FUSE_LK_FLOCK,
  FUSE_NOTIFY_INVAL_INODE,
  FUSE_NOTIFY_STORE,
  FUSE_OPEN_KILL_SUIDGID,
  FUSE_WRITE_KILL_SUIDGID,
  attrFlag,
  initFlag,
  initFlag2,
  layouts,
  opcode,
  openFlag,
} from "../fs/kernel/abi.ts";
import { sourcePath } from "./system/source.ts";

const ours: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  ...layouts,
  opcode,
  initFlag,
  initFlag2,
  openFlag,
  attrFlag,
  number: {
    FUSE_LK_FLOCK,
    FUSE_NOTIFY_INVAL_INODE,
    FUSE_NOTIFY_STORE,
    FUSE_OPEN_KILL_SUIDGID,
    FUSE_WRITE_KILL_SUIDGID,
  },
};

/** From which minor version on a header has these; an older one cannot say. */
const newer: Readonly<Record<string, number>> = {
  "opcode SYNCFS": 34,
  "opcode TMPFILE": 37,
  "opcode STATX": 39,
  "initFlag HANDLE_KILLPRIV_V2": 33,
  "initFlag INIT_EXT": 36,
  "initFlag2 DIRECT_IO_ALLOW_MMAP": 39,
  "initFlag2 HAS_RESEND": 40,
  "openFlag NOFLUSH": 35,
  "attrFlag KILL_SUIDGID": 33,
  "number FUSE_OPEN_KILL_SUIDGID": 33,
  "number FUSE_WRITE_KILL_SUIDGID": 33,
  "fuse_open_in open_flags": 33,
  "fuse_create_in open_flags": 33,
  "fuse_init_in flags2": 36,
  "fuse_init_out flags2": 36,
  "fuse_syncfs_in sizeof": 34,
};

function whyNot(): string | false {
  if (!existsSync("/usr/include/linux/fuse.h")) return "no linux/fuse.h (package linux-libc-dev)";
  try {
    execFileSync("cc", ["--version"], { stdio: "ignore" });
    return false;
  } catch {
    return "no C compiler (package gcc)";
  }
}

function printedByC(): string[] {
  const directory = mkdtempSync(join(tmpdir(), "onespool-layout-"));
  try {
    const program = join(directory, "fuse-layout");
    execFileSync("cc", ["-o", program, sourcePath("test/native/fuse-layout.c")]);
    return execFileSync(program, { encoding: "utf8" }).trim().split("\n");
  } finally {
    rmSync(directory, { recursive: true });
  }
}

t.test("layouts and numbers are those of linux/fuse.h", { skip: whyNot() }, async (t) => {
  const theirs = new Map<string, number>();
  for (const line of printedByC()) {
    const [group = "", name = "", value = ""] = line.split(" ");
    theirs.set(`${group} ${name}`, Number(value));
  }
  const minor = theirs.get("version minor") ?? 0;
  t.ok(minor >= 31, `the header is of protocol 7.${minor}`);
  for (const [group, numbers] of Object.entries(ours)) {
    for (const [name, value] of Object.entries(numbers)) {
      const key = `${group} ${name}`;
      if (minor < (newer[key] ?? 0)) continue;
      const line = group === "initFlag" ? (theirs.get(key) ?? NaN) | 0 : theirs.get(key);
      t.equal(value, line, key);
    }
  }
});

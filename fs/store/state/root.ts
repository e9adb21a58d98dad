/** The root directory of a new store: it belongs to the account that makes the store. */
import type { Time } from "../../attributes.ts";
import { S_IFDIR } from "../../attributes.ts";
import type { Change } from "../records/change.ts";
import { ROOT_INO } from "./counters.ts";

export function rootInode(time: Time): Change {
  return {
    type: "inode",
    ino: ROOT_INO,
    mode: S_IFDIR | 0o755,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    nlink: 2,
    rdev: 0,
    atime: time,
    mtime: time,
    ctime: time,
    parent: ROOT_INO,
    target: Buffer.alloc(0),
  };
}

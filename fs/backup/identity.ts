/**
 * What tells a store from every other one: random, made by the first backup. A restored store has none until
 * its own first backup, because from then on its segments differ from those that have the same numbers.
 */
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { systemDisk } from "../store/disk/system-disk.ts";
import { BackupError, backupIoError } from "./errors.ts";

/** Beside the store's file "format". */
const IDENTITY_FILE = "identity";

const LINE = /^([0-9a-f]{32})\n$/;

/** Undefined when the store has none yet. */
function readIdentity(store: string): string | undefined {
  const path = join(store, IDENTITY_FILE);
  let text: string;
  try {
    text = fs.readFileSync(path, "latin1");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw backupIoError(`cannot read ${path}`, error);
  }
  const identity = LINE.exec(text)?.[1];
  if (identity !== undefined) return identity;
  throw new BackupError(
    "BACKUP_SOURCE",
    `${path} is not 32 hexadecimal digits; without the file, the next backup makes a new identity and wants a new directory`,
  );
}

/** Of two first backups at once one makes it, and the other one finds it. */
export function identityOf(store: string): string {
  const known = readIdentity(store);
  if (known !== undefined) return known;
  const path = join(store, IDENTITY_FILE);
  // The store may be another user's: what has this name already, as a symbolic link, is not written to.
  const temporary = `${path}.${randomBytes(8).toString("hex")}`;
  try {
    try {
      fs.writeFileSync(temporary, `${randomBytes(16).toString("hex")}\n`, {
        mode: 0o600,
        flush: true,
        flag: "wx",
      });
      fs.linkSync(temporary, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    } finally {
      // Also of a disk that had no room for it.
      fs.rmSync(temporary, { force: true });
    }
    systemDisk.syncDirectory(store);
  } catch (error) {
    throw backupIoError(`cannot write ${path}`, error);
  }
  return readIdentity(store) as string;
}

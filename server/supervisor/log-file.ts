/** The log's file is made here, as root, and given to the account that front and workers run as. */
import { closeSync, constants, fchownSync, openSync } from "node:fs";
import type { Account } from "../config/accounts.ts";

const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
const MODE = 0o640;

/** Leaves a file alone that is there: its owner is the administrator's choice. Throws what open(2) says. */
export function makeLogFile(file: string, account: Account | undefined): void {
  try {
    const fd = openSync(file, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW, MODE);
    if (account !== undefined) fchownSync(fd, account.uid, account.gid);
    closeSync(fd);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

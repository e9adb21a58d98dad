/** From root to the account that mail is received as. For good: the way back is tried, and has to fail. */
import { readFileSync } from "node:fs";
import { assert } from "../../base/assert.ts";
import { findAccount, type Account } from "../config/accounts.ts";

export type AccountErrorCode = "UNKNOWN_ACCOUNT" | "ACCOUNT_IS_ROOT" | "NOT_ROOT";

/** The message is for people and names the account. */
export class AccountError extends Error {
  override name = "AccountError";
  readonly code: AccountErrorCode;

  constructor(code: AccountErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** In Node since 0.9.4; the type declarations have forgotten it. */
interface ProcessWithGroups {
  initgroups(user: string, extraGroup: number): void;
}

/** Files of front and workers are for nobody else. */
const UMASK = 0o077;

/** The account of `user`, which must not be root. Throws AccountError. */
export function accountOf(user: string): Account {
  const account = findAccount(user);
  if (account === undefined) {
    throw new AccountError("UNKNOWN_ACCOUNT", `user: there is no account "${user}"`);
  }
  if (account.uid === 0 || account.gid === 0) {
    throw new AccountError("ACCOUNT_IS_ROOT", `user: the account "${user}" has the rights of root`);
  }
  return account;
}

function isRefused(change: () => void): boolean {
  try {
    change();
    return false;
  } catch {
    return true;
  }
}

/** CapPrm and CapEff of proc_pid_status(5). */
function hasCapabilities(): boolean {
  const status = readFileSync("/proc/self/status", "latin1");
  return !/^CapPrm:\s*0+$/m.test(status) || !/^CapEff:\s*0+$/m.test(status);
}

/**
 * Real, effective and saved user and group become the account's, supplementary groups those that the
 * system gives it. Nothing but the umask is left to do for a process that is the account already. Throws
 * AccountError.
 */
export function dropPrivileges(user: string): Account {
  const account = accountOf(user);
  process.umask(UMASK);
  const { name, uid, gid } = account;
  if (process.getuid!() === uid && process.geteuid!() === uid) return account;
  if (process.geteuid!() !== 0) {
    throw new AccountError("NOT_ROOT", `user: only root can become "${user}"`);
  }
  (process as unknown as ProcessWithGroups).initgroups(name, gid);
  process.setgid!(gid);
  process.setuid!(uid);
  assert(process.getuid!() === uid && process.geteuid!() === uid, "the user is the account");
  assert(process.getgid!() === gid && process.getegid!() === gid, "the group is the account's");
  assert(!process.getgroups!().includes(0), "root's group is gone");
  assert(
    isRefused(() => process.setuid!(0)) && isRefused(() => process.seteuid!(0)),
    "no way back",
  );
  assert(
    isRefused(() => process.setgid!(0)),
    "no way back to root's group",
  );
  assert(!hasCapabilities(), "no capability is left");
  return account;
}

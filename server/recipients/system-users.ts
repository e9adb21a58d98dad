/**
 * `users = "system"`: the accounts of people. Root and the accounts of services get mail through aliases only,
 * so that no network peer fills a mailbox that nobody reads.
 */
import { readFileSync } from "node:fs";
import type { Account } from "../config/accounts.ts";
import type { Problem } from "../config/problems.ts";
import { shown } from "../config/problems.ts";
import { pathProblem } from "./mailbox-path.ts";
import { UserTable } from "./user-table.ts";

const UID_MIN_DEFAULT = 1000;
/** What the kernel shows for accounts that it cannot name; nobody's mail is nobody's. */
const OVERFLOW_UIDS: ReadonlySet<number> = new Set([65_534, 65_535, 0xffff_fffe, 0xffff_ffff]);

/** login.defs(5): where the numbers of people begin. */
export function uidMinOf(loginDefs: string): number {
  const digits = /^\s*UID_MIN\s+(\d+)/m.exec(loginDefs)?.[1];
  return digits === undefined ? UID_MIN_DEFAULT : Number(digits);
}

export function readUidMin(): number {
  try {
    return uidMinOf(readFileSync("/etc/login.defs", "utf8"));
  } catch {
    return UID_MIN_DEFAULT;
  }
}

export function systemUsers(
  accounts: readonly Account[],
  uidMin: number,
  problems: Problem[],
): UserTable {
  const table = new UserTable();
  for (const { name, uid } of accounts) {
    // Machine accounts of a domain controller end in "$".
    if (uid < Math.max(uidMin, 1) || OVERFLOW_UIDS.has(uid) || name.endsWith("$")) continue;
    const problem = pathProblem(name);
    const text = `as the name of a mailbox, ${shown(name)} ${problem}`;
    if (problem !== undefined) problems.push({ place: "system accounts", text });
    else table.add({ name, domain: undefined, uid, quotaBytes: undefined, mailbox: undefined });
  }
  return table;
}

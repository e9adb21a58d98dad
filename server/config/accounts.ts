/**
 * The system's accounts and groups, asked through getent(1), which also knows those that are not in /etc/passwd (LDAP,
 * SSSD). Where there is no getent the files are read.
 */
import { execFile, execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

export interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

type Database = "passwd" | "group";

const ANSWER_BYTES_MAX = 256 * 1024 * 1024;
const TIMEOUT_MS = 30_000;
const options = { encoding: "utf8", maxBuffer: ANSWER_BYTES_MAX, timeout: TIMEOUT_MS } as const;

/** getent ends with 2 for a name that is not there, without a word. */
function onFailure(error: unknown, database: Database): string {
  const { code, status } = error as { code?: unknown; status?: unknown };
  if (code === "ENOENT") return readFileSync(`/etc/${database}`, "utf8");
  if (code === 2 || status === 2) return "";
  throw error;
}

function getent(database: Database, ...names: string[]): string {
  try {
    return execFileSync("getent", [database, ...names], { ...options, stdio: "pipe" });
  } catch (error) {
    return onFailure(error, database);
  }
}

function fields(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(":"));
}

/** passwd(5) */
export function parseAccounts(text: string): Account[] {
  return fields(text).flatMap(([name, , uid, gid]) =>
    name && /^\d+$/.test(uid ?? "") && /^\d+$/.test(gid ?? "")
      ? [{ name, uid: Number(uid), gid: Number(gid) }]
      : [],
  );
}

/** group(5) */
export function parseGroups(text: string): Group[] {
  return fields(text).flatMap(([name, , gid, members]) =>
    name && /^\d+$/.test(gid ?? "")
      ? [{ name, gid: Number(gid), members: members ? members.split(",") : [] }]
      : [],
  );
}

export function findAccount(name: string): Account | undefined {
  return parseAccounts(getent("passwd", name)).find((account) => account.name === name);
}

export function findGroup(name: string): Group | undefined {
  return parseGroups(getent("group", name)).find((group) => group.name === name);
}

/** Numbers of the groups that an account is in. */
export function groupsOf(account: Account): readonly number[] {
  const others = parseGroups(getent("group")).filter((each) => each.members.includes(account.name));
  return [account.gid, ...others.map(({ gid }) => gid)];
}

export function listAccountsSync(): Account[] {
  return parseAccounts(getent("passwd"));
}

/** The same without holding up the event loop: a directory service may take its time. */
export async function listAccounts(): Promise<Account[]> {
  try {
    const { stdout } = await promisify(execFile)("getent", ["passwd"], options);
    return parseAccounts(stdout);
  } catch (error) {
    return parseAccounts(onFailure(error, "passwd"));
  }
}

/** What the tables are made of, read from files and from the system; at once, or without holding up the event loop. */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Account } from "../config/accounts.ts";
import { findGroup, listAccounts, listAccountsSync } from "../config/accounts.ts";
import type { RecipientsConfig } from "../config/config.ts";
import { RecipientsError } from "../config/problems.ts";
import type { PlaceOf } from "./users-file.ts";
import { readUidMin } from "./system-users.ts";

export interface Lines {
  readonly lines: readonly string[];
  readonly placeOf: PlaceOf;
}

export interface SystemSource {
  readonly accounts: readonly Account[];
  readonly uidMin: number;
  /** Group of the mailboxes. */
  readonly mailGid: number;
}

export interface Sources {
  readonly users: Lines | SystemSource;
  readonly aliases: Lines | undefined;
}

const MAIL_GROUP = "mail";

function asLines(file: string, text: string): Lines {
  return { lines: text.split(/\r?\n/), placeOf: (index) => `${file}:${index + 1}` };
}

function unreadable(file: string, error: unknown): RecipientsError {
  const { code } = error as NodeJS.ErrnoException;
  const text = code === "ENOENT" ? "no such file" : `cannot be read: ${(error as Error).message}`;
  return new RecipientsError([{ place: file, text }]);
}

function asSystem(accounts: readonly Account[]): SystemSource {
  const mailGid = findGroup(MAIL_GROUP)?.gid;
  if (mailGid === undefined) {
    const text = `there is no group "${MAIL_GROUP}" for the mailboxes of system accounts`;
    throw new RecipientsError([{ place: "system accounts", text }]);
  }
  return { accounts, uidMin: readUidMin(), mailGid };
}

function inline(lines: readonly string[]): Lines {
  return { lines, placeOf: (index) => `recipients.users[${index}]` };
}

function readLinesSync(file: string): Lines {
  try {
    return asLines(file, readFileSync(file, "utf8"));
  } catch (error) {
    throw unreadable(file, error);
  }
}

async function readLines(file: string): Promise<Lines> {
  try {
    return asLines(file, await readFile(file, "utf8"));
  } catch (error) {
    throw unreadable(file, error);
  }
}

export function readSourcesSync({ users, aliasesFile }: RecipientsConfig): Sources {
  return {
    users:
      users === "system"
        ? asSystem(listAccountsSync())
        : "lines" in users
          ? inline(users.lines)
          : readLinesSync(users.file),
    aliases: aliasesFile === undefined ? undefined : readLinesSync(aliasesFile),
  };
}

export async function readSources({ users, aliasesFile }: RecipientsConfig): Promise<Sources> {
  return {
    users:
      users === "system"
        ? asSystem(await listAccounts())
        : "lines" in users
          ? inline(users.lines)
          : await readLines(users.file),
    aliases: aliasesFile === undefined ? undefined : await readLines(aliasesFile),
  };
}

/**
 * The users file: one user on a line, `name[@domain] [quota=SIZE] [mailbox=PATH]`, with comments behind "#". Pure;
 * docs/CONFIG.md describes it.
 */
import type { Problem } from "../config/problems.ts";
import { shown } from "../config/problems.ts";
import { readBytes } from "../config/values.ts";
import { foldDomain, unquoteLocal } from "./address.ts";
import { pathProblem } from "./mailbox-path.ts";
import type { User } from "./user-table.ts";
import { UserTable } from "./user-table.ts";

/** Place of a line, counted from 0. */
export type PlaceOf = (index: number) => string;

const line = /^("(?:[^"\\]|\\.)*"|[^\s"@]+)(?:@(\S+))?(?:\s+(.*))?$/;
const comment = /(?:^|\s)#.*$/;

/** Only a user's name can become the name of a file. */
function nameProblem(name: string, mailbox: string | undefined): string | undefined {
  if (name.includes("/") || name.includes("@")) {
    return `${shown(name)}: a user's name has no "/" or "@" in it`;
  }
  if (mailbox !== undefined) return undefined;
  const problem = pathProblem(name);
  return problem === undefined ? undefined : `as the name of a mailbox, ${shown(name)} ${problem}`;
}

type Settings = Pick<User, "quotaBytes" | "mailbox">;

function readSettings(text: string): Settings | string {
  let quotaBytes: number | undefined;
  let mailbox: string | undefined;
  for (const setting of text.split(/\s+/)) {
    const equals = setting.indexOf("=");
    const key = setting.slice(0, Math.max(equals, 0));
    const value = setting.slice(equals + 1);
    if (key === "quota") {
      quotaBytes = readBytes(value);
      if (quotaBytes === undefined) return `quota must be a size ("100MiB"), not ${shown(value)}`;
    } else if (key === "mailbox") {
      const problem = pathProblem(value);
      if (problem !== undefined) return `mailbox ${shown(value)} ${problem}`;
      mailbox = value;
    } else {
      return `${shown(setting)} is not known; allowed are quota=SIZE and mailbox=PATH`;
    }
  }
  return { quotaBytes, mailbox };
}

/** undefined for a line without a user, a text for what is wrong with it. */
function readLine(text: string, domains: ReadonlySet<string>): User | string | undefined {
  const content = text.replace(comment, "").trim();
  if (content === "") return undefined;
  const [, written, domainWritten, rest] = line.exec(content) ?? [];
  const name = written === undefined ? undefined : unquoteLocal(written)?.normalize("NFC");
  if (name === undefined) return `${shown(content)} is not "name[@domain] [quota=] [mailbox=]"`;
  const domain = domainWritten === undefined ? undefined : foldDomain(domainWritten);
  if (domainWritten !== undefined && (domain === undefined || !domains.has(domain))) {
    return `${shown(domainWritten)} is none of recipients.domains`;
  }
  const settings = rest === undefined ? {} : readSettings(rest);
  if (typeof settings === "string") return settings;
  const { quotaBytes, mailbox } = settings as Partial<Settings>;
  const problem = nameProblem(name, mailbox);
  return problem ?? { name, domain, uid: undefined, quotaBytes, mailbox };
}

export function parseUsers(
  lines: readonly string[],
  domains: ReadonlySet<string>,
  placeOf: PlaceOf,
  problems: Problem[],
): UserTable {
  const table = new UserTable();
  for (const [index, text] of lines.entries()) {
    const user = readLine(text, domains);
    if (user === undefined) continue;
    if (typeof user === "string") problems.push({ place: placeOf(index), text: user });
    else if (!table.add(user)) {
      const address = user.domain === undefined ? user.name : `${user.name}@${user.domain}`;
      problems.push({ place: placeOf(index), text: `${shown(address)} is there twice` });
    }
  }
  return table;
}

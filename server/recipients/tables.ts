/** Sources to a directory that is known to be sound: every alias leads to users, every user to a mailbox of his own. */
import type { RecipientsConfig } from "../config/config.ts";
import type { Problem } from "../config/problems.ts";
import { RecipientsError, shown } from "../config/problems.ts";
import type { Address } from "./address.ts";
import { parseAddress } from "./address.ts";
import { parseAliases } from "./aliases-file.ts";
import { Directory } from "./directory.ts";
import { checkAliases } from "./expansion.ts";
import { checkMailboxPaths } from "./mailbox-paths.ts";
import type { Sources } from "./sources.ts";
import { systemUsers } from "./system-users.ts";
import type { UserTable } from "./user-table.ts";
import { parseUsers } from "./users-file.ts";

function readUsers(sources: Sources, domains: ReadonlySet<string>, problems: Problem[]): UserTable {
  const { users } = sources;
  if ("lines" in users) return parseUsers(users.lines, domains, users.placeOf, problems);
  return systemUsers(users.accounts, users.uidMin, problems);
}

/** Throws RecipientsError with all that is wrong. */
export function buildDirectory(config: RecipientsConfig, sources: Sources): Directory {
  const problems: Problem[] = [];
  const domains = new Set(config.domains);
  const users = readUsers(sources, domains, problems);
  checkMailboxPaths(users, config, "recipients", problems);
  const directory = new Directory(users, config.detailSeparator, config.domains[0] ?? "");
  if (sources.aliases !== undefined) {
    const { lines, placeOf } = sources.aliases;
    for (const alias of parseAliases(lines, domains, placeOf, problems)) {
      const other = directory.add(alias);
      if (other === undefined) continue;
      const text = `${shown(alias.local)} is there twice, first at ${other.place}`;
      problems.push({ place: alias.place, text });
    }
    // What could not be read would be missed a second time.
    if (problems.length === 0) checkAliases(directory, problems);
  }
  if (problems.length > 0) throw new RecipientsError(problems);
  return directory;
}

/** An address of the configuration; undefined if it leads to nobody. */
export function configuredAddress(
  directory: Directory,
  config: Pick<RecipientsConfig, "domains">,
  text: string,
): Address | undefined {
  const address = parseAddress(text);
  if (address.kind !== "address") return undefined;
  const { local, domain } = address;
  const found =
    domain === undefined
      ? directory.findNear(local, undefined)
      : config.domains.includes(domain) && directory.find(local, domain);
  return found ? address : undefined;
}

/** Who gets the postmaster's mail where nobody is said to: somebody must (RFC 5321 section 4.5.1). */
export function postmasterOf(directory: Directory): string | undefined {
  if (directory.findNear("postmaster", undefined) !== undefined) return "postmaster";
  const { first } = directory.users;
  if (first === undefined) return undefined;
  return first.domain === undefined ? first.name : `${first.name}@${first.domain}`;
}

/** No mailbox is another user's, and none lies below another. Checked once for each load. */
import type { RecipientsConfig } from "../config/config.ts";
import type { Problem } from "../config/problems.ts";
import { shown } from "../config/problems.ts";
import { foldLocal } from "./address.ts";
import { fillTemplate } from "./mailbox-path.ts";
import type { User, UserTable } from "./user-table.ts";

function addressOf(user: User): string {
  return user.domain === undefined ? user.name : `${user.name}@${user.domain}`;
}

export function checkMailboxPaths(
  users: UserTable,
  config: Pick<RecipientsConfig, "mailbox" | "domains">,
  place: string,
  problems: Problem[],
): void {
  const hasDomain = config.mailbox.includes("{domain}");
  // A template that tells users apart (see templateProblem) leaves nothing to check.
  if (!users.hasOwnMailboxes && (hasDomain || users.domains.length === 0)) return;
  const owners = new Map<string, string>();
  const everywhere = hasDomain ? config.domains : config.domains.slice(0, 1);
  for (const user of users.users()) {
    // One who is in all domains leaves those to others of his name who are there alone.
    const isOwn = (domain: string): boolean =>
      users.findIn(domain, foldLocal(user.name)) === undefined;
    const domains =
      user.domain !== undefined ? [user.domain] : hasDomain ? everywhere.filter(isOwn) : everywhere;
    const paths =
      user.mailbox === undefined
        ? domains.map((domain) => fillTemplate(config.mailbox, user.name, domain))
        : [user.mailbox];
    for (const path of paths) {
      const other = owners.get(path);
      if (other === undefined) owners.set(path, addressOf(user));
      else {
        const text = `${shown(other)} and ${shown(addressOf(user))} have the same mailbox, ${path}`;
        problems.push({ place, text });
      }
    }
  }
  for (const [path, owner] of owners) {
    for (let at = path.indexOf("/"); at !== -1; at = path.indexOf("/", at + 1)) {
      const above = owners.get(path.slice(0, at));
      if (above === undefined) continue;
      const text = `the mailbox of ${shown(owner)}, ${path}, lies below that of ${shown(above)}`;
      problems.push({ place, text });
    }
  }
}

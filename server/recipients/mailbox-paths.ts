/** No mailbox is another user's, and none lies below another. Checked once for each load. */
import type { RecipientsConfig } from "../config/config.ts";
import type { Problem } from "../config/problems.ts";
import { shown } from "../config/problems.ts";
import { foldLocal } from "./address.ts";
import { matchTemplate } from "./mailbox-path.ts";
import type { User, UserTable } from "./user-table.ts";

type Template = Pick<RecipientsConfig, "mailbox" | "domains">;

function addressOf(user: User): string {
  return user.domain === undefined ? user.name : `${user.name}@${user.domain}`;
}

function* directoriesAbove(path: string): Generator<string> {
  for (let at = path.indexOf("/"); at !== -1; at = path.indexOf("/", at + 1)) {
    yield path.slice(0, at);
  }
}

/** A user whose mailbox, where the template has it, is this path, lies below it or is a directory of it. */
function findInTheWay(users: UserTable, template: Template, path: string): User | undefined {
  const match = matchTemplate(template.mailbox, path);
  if (match === undefined) return undefined;
  const { user, domain } = match;
  if (domain !== undefined && !template.domains.includes(domain)) return undefined;
  if (user === undefined) return users.first;
  const local = foldLocal(user);
  const domains = domain === undefined ? template.domains : [domain];
  return [users.findEverywhere(local), ...domains.map((each) => users.findIn(each, local))].find(
    (found) => found?.mailbox === undefined && found?.name === user,
  );
}

/** Mailboxes that are not where the template has them, among each other and with those that are. */
function checkOwnMailboxes(users: UserTable, template: Template): string[] {
  const texts: string[] = [];
  const owners = new Map<string, string>();
  for (const user of users.users()) {
    if (user.mailbox === undefined) continue;
    const address = addressOf(user);
    const inTheWay = findInTheWay(users, template, user.mailbox);
    const other =
      owners.get(user.mailbox) ?? (inTheWay === undefined ? undefined : addressOf(inTheWay));
    owners.set(user.mailbox, address);
    if (other === undefined) continue;
    texts.push(
      `the mailbox of ${shown(address)}, ${user.mailbox}, is in the way of that of ${shown(other)}`,
    );
  }
  for (const [path, owner] of owners) {
    for (const directory of directoriesAbove(path)) {
      const above = owners.get(directory);
      if (above === undefined) continue;
      texts.push(`the mailbox of ${shown(owner)}, ${path}, lies below that of ${shown(above)}`);
    }
  }
  return texts;
}

/** A template without a domain has one mailbox for all of the same name. */
function checkSameNames(users: UserTable): string[] {
  const texts: string[] = [];
  const owners = new Map<string, string>();
  for (const user of users.users()) {
    if (user.mailbox !== undefined) continue;
    const other = owners.get(user.name);
    const address = addressOf(user);
    if (other === undefined) owners.set(user.name, address);
    else texts.push(`${shown(other)} and ${shown(address)} have the same mailbox`);
  }
  return texts;
}

/** The work grows with the users, and not with users times domains. */
export function checkMailboxPaths(
  users: UserTable,
  template: Template,
  place: string,
  problems: Problem[],
): void {
  const hasDomain = template.mailbox.includes("{domain}");
  const texts = [
    ...(users.hasOwnMailboxes ? checkOwnMailboxes(users, template) : []),
    ...(hasDomain || users.domains.length === 0 ? [] : checkSameNames(users)),
  ];
  for (const text of texts) problems.push({ place, text });
}

/**
 * Aliases, followed to the users behind them; and the check that every one of them leads somewhere within the
 * limits, so that following needs no checks of its own.
 */
import type { Problem } from "../config/problems.ts";
import { shown } from "../config/problems.ts";
import type { Alias, Target } from "./aliases-file.ts";
import type { Directory, Entry } from "./directory.ts";

/** Aliases in a row from a name to a user. */
export const ALIAS_DEPTH_MAX = 10;
/** Mailboxes behind one alias. */
export const ALIAS_MAILBOXES_MAX = 1000;
/** Longer chains than this are not searched for a loop: they are too deep anyway. */
const SEARCH_DEPTH_MAX = 500;

type UserEntry = Extract<Entry, { kind: "user" }>;

function follow(directory: Directory, target: Target, domain: string): Entry | undefined {
  const { local, isUser } = target;
  if (target.domain !== undefined) return directory.find(local, target.domain, isUser);
  return directory.findNear(local, domain, isUser);
}

/** An alias for all domains goes on in the one that was asked for. */
function domainOf(alias: Alias, asked: string): string {
  return alias.domain ?? asked;
}

/** Each user behind the alias once for each domain; stops behind `most` of them. */
export function expand(
  directory: Directory,
  alias: Alias,
  domain: string,
  most = ALIAS_MAILBOXES_MAX,
): UserEntry[] {
  const users = new Map<string, UserEntry>();
  const seen = new Set<string>();
  const visit = (each: Alias, asked: string): void => {
    const within = domainOf(each, asked);
    const node = `${each.place}\n${within}`;
    if (seen.has(node)) return;
    seen.add(node);
    for (const target of each.targets) {
      const entry = follow(directory, target, within);
      if (entry?.kind === "alias") visit(entry.alias, target.domain ?? within);
      else if (entry !== undefined) users.set(`${entry.user.name}\n${entry.domain}`, entry);
      if (users.size > most) return;
    }
  };
  visit(alias, domain);
  return [...users.values()];
}

interface Verdict {
  /** Aliases in a row, this one included. */
  readonly depth: number;
  /** At most so many users. */
  readonly users: number;
}

class Check {
  readonly #directory: Directory;
  readonly #problems: Problem[];
  readonly #verdicts = new Map<string, Verdict>();
  /** From the alias where the search began to the one that is looked at. */
  readonly #trail: { readonly alias: Alias; readonly node: string }[] = [];
  readonly #told = new Set<string>();

  constructor(directory: Directory, problems: Problem[]) {
    this.#directory = directory;
    this.#problems = problems;
  }

  visit(alias: Alias, asked: string): Verdict {
    const domain = domainOf(alias, asked);
    const node = `${alias.place}\n${domain}`;
    const known = this.#verdicts.get(node);
    if (known !== undefined) return known;
    if (this.#isLoop(alias, node) || this.#trail.length >= SEARCH_DEPTH_MAX) {
      return { depth: 1, users: 0 };
    }
    this.#trail.push({ alias, node });
    const verdict = this.#visitTargets(alias, domain);
    this.#trail.pop();
    this.#verdicts.set(node, verdict);
    this.#checkLimits(alias, domain, verdict);
    return verdict;
  }

  #visitTargets(alias: Alias, domain: string): Verdict {
    let depth = 0;
    let users = 0;
    for (const target of alias.targets) {
      const entry = follow(this.#directory, target, domain);
      if (entry === undefined) this.#tellMissing(alias, target, domain);
      else if (entry.kind === "user") users++;
      else {
        const below = this.visit(entry.alias, target.domain ?? domain);
        depth = Math.max(depth, below.depth);
        users += below.users;
      }
    }
    return { depth: depth + 1, users };
  }

  #isLoop(alias: Alias, node: string): boolean {
    const at = this.#trail.findIndex((each) => each.node === node);
    if (at === -1) return false;
    const names = [...this.#trail.slice(at).map((each) => each.alias), alias].map(nameOf);
    const hint = `write \\${alias.local} for the user of that name`;
    this.#tell(alias, `${nameOf(alias)} leads to itself: ${names.join(" -> ")} (${hint})`);
    return true;
  }

  #checkLimits(alias: Alias, domain: string, { depth, users }: Verdict): void {
    if (depth > ALIAS_DEPTH_MAX) {
      const text = `${nameOf(alias)}: more than ${ALIAS_DEPTH_MAX} aliases in a row`;
      // Those above it are too deep because this one is.
      if (depth === ALIAS_DEPTH_MAX + 1) this.#tell(alias, text);
      return;
    }
    if (users <= ALIAS_MAILBOXES_MAX) return;
    if (expand(this.#directory, alias, domain).length > ALIAS_MAILBOXES_MAX) {
      this.#tell(alias, `${nameOf(alias)}: more than ${ALIAS_MAILBOXES_MAX} mailboxes behind it`);
    }
  }

  #tellMissing(alias: Alias, { local, domain, isUser }: Target, asked: string): void {
    const name = shown(domain === undefined ? local : `${local}@${domain}`);
    const where = domain === undefined ? ` in ${asked}` : "";
    const what = isUser ? "no user" : "no user and no alias";
    this.#tell(alias, `${nameOf(alias)}: ${name} is ${what}${where}`);
  }

  /** The same is found again in other domains. */
  #tell(alias: Alias, text: string): void {
    const key = `${alias.place}\n${text}`;
    if (this.#told.has(key)) return;
    this.#told.add(key);
    this.#problems.push({ place: alias.place, text });
  }
}

function nameOf({ local, domain }: Alias): string {
  return domain === undefined ? local : `${local}@${domain}`;
}

export function checkAliases(
  directory: Directory,
  domains: readonly string[],
  problems: Problem[],
): void {
  const check = new Check(directory, problems);
  const differing = directory.differingDomains(domains);
  for (const alias of directory.aliases) {
    for (const domain of alias.domain === undefined ? differing : [alias.domain]) {
      check.visit(alias, domain);
    }
  }
}

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

/** A target without a domain is one of the alias's domain, or of our first one; whoever was asked for. */
function follow(directory: Directory, alias: Alias, target: Target): Entry | undefined {
  const { local, isUser } = target;
  if (target.domain !== undefined) return directory.find(local, target.domain, isUser);
  return directory.findNear(local, alias.domain, isUser);
}

/** Each user behind the alias once for each domain; stops behind `most` of them. */
export function expand(
  directory: Directory,
  alias: Alias,
  most = ALIAS_MAILBOXES_MAX,
): UserEntry[] {
  const users = new Map<string, UserEntry>();
  const seen = new Set<Alias>();
  const visit = (each: Alias): void => {
    if (seen.has(each)) return;
    seen.add(each);
    for (const target of each.targets) {
      const entry = follow(directory, each, target);
      if (entry?.kind === "alias") visit(entry.alias);
      else if (entry !== undefined) users.set(`${entry.user.name}\n${entry.domain}`, entry);
      if (users.size > most) return;
    }
  };
  visit(alias);
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
  readonly #verdicts = new Map<Alias, Verdict>();
  /** From the alias where the search began to the one that is looked at. */
  readonly #trail: Alias[] = [];

  constructor(directory: Directory, problems: Problem[]) {
    this.#directory = directory;
    this.#problems = problems;
  }

  visit(alias: Alias): Verdict {
    const known = this.#verdicts.get(alias);
    if (known !== undefined) return known;
    if (this.#isLoop(alias) || this.#trail.length >= SEARCH_DEPTH_MAX) {
      return { depth: 1, users: 0 };
    }
    this.#trail.push(alias);
    const verdict = this.#visitTargets(alias);
    this.#trail.pop();
    this.#verdicts.set(alias, verdict);
    this.#checkLimits(alias, verdict);
    return verdict;
  }

  #visitTargets(alias: Alias): Verdict {
    let depth = 0;
    let users = 0;
    for (const target of alias.targets) {
      const entry = follow(this.#directory, alias, target);
      if (entry === undefined) this.#tellMissing(alias, target);
      else if (entry.kind === "user") users++;
      else {
        const below = this.visit(entry.alias);
        depth = Math.max(depth, below.depth);
        users += below.users;
      }
    }
    return { depth: depth + 1, users };
  }

  #isLoop(alias: Alias): boolean {
    const at = this.#trail.indexOf(alias);
    if (at === -1) return false;
    const names = [...this.#trail.slice(at), alias].map(nameOf);
    const hint = `write \\${alias.local} for the user of that name`;
    this.#tell(alias, `${nameOf(alias)} leads to itself: ${names.join(" -> ")} (${hint})`);
    return true;
  }

  #checkLimits(alias: Alias, { depth, users }: Verdict): void {
    if (depth > ALIAS_DEPTH_MAX) {
      const text = `${nameOf(alias)}: more than ${ALIAS_DEPTH_MAX} aliases in a row`;
      // Those above it are too deep because this one is.
      if (depth === ALIAS_DEPTH_MAX + 1) this.#tell(alias, text);
      return;
    }
    if (users <= ALIAS_MAILBOXES_MAX) return;
    if (expand(this.#directory, alias).length > ALIAS_MAILBOXES_MAX) {
      this.#tell(alias, `${nameOf(alias)}: more than ${ALIAS_MAILBOXES_MAX} mailboxes behind it`);
    }
  }

  #tellMissing(alias: Alias, { local, domain, isUser }: Target): void {
    const name = shown(domain === undefined ? local : `${local}@${domain}`);
    this.#tell(
      alias,
      `${nameOf(alias)}: ${name} is ${isUser ? "no user" : "no user and no alias"}`,
    );
  }

  #tell(alias: Alias, text: string): void {
    this.#problems.push({ place: alias.place, text });
  }
}

function nameOf({ local, domain }: Alias): string {
  return domain === undefined ? local : `${local}@${domain}`;
}

export function checkAliases(directory: Directory, problems: Problem[]): void {
  const check = new Check(directory, problems);
  for (const alias of directory.aliases()) check.visit(alias);
}

/**
 * Who a name stands for: aliases before users, and what is said of one domain before what is said of all.
 * A name that is not there as it is written is looked up again without its detail.
 */
import type { Alias } from "./aliases-file.ts";
import type { User, UserTable } from "./user-table.ts";

export type Entry =
  | { readonly kind: "alias"; readonly alias: Alias }
  /** `domain` is the one in which he was found, also of a user who is in all of them. */
  | { readonly kind: "user"; readonly user: User; readonly domain: string };

export class Directory {
  readonly users: UserTable;
  readonly #aliases = new Map<string, Alias>();
  readonly #aliasDomains = new Set<string>();
  readonly #detailSeparator: string;
  readonly #firstDomain: string;

  constructor(users: UserTable, detailSeparator: string, firstDomain: string) {
    this.users = users;
    this.#detailSeparator = detailSeparator;
    this.#firstDomain = firstDomain;
  }

  /** Returns the one of the same name that is there already. */
  add(alias: Alias): Alias | undefined {
    const key = aliasKey(alias.local, alias.domain);
    const other = this.#aliases.get(key);
    if (other !== undefined) return other;
    this.#aliases.set(key, alias);
    if (alias.domain !== undefined) this.#aliasDomains.add(alias.domain);
    return undefined;
  }

  get aliases(): Iterable<Alias> {
    return this.#aliases.values();
  }

  /**
   * Domains of which one shows what is so in all: those that have entries of their own, the first, and one
   * of the others.
   */
  differingDomains(domains: readonly string[]): readonly string[] {
    const own = new Set([this.#firstDomain, ...this.users.domains, ...this.#aliasDomains]);
    const other = domains.find((domain) => !own.has(domain));
    return other === undefined ? [...own] : [...own, other];
  }

  /** `local` is folded; with `isUser` aliases do not count. */
  find(local: string, domain: string, isUser = false): Entry | undefined {
    const exact = this.#findExact(local, domain, isUser);
    if (exact !== undefined || this.#detailSeparator === "") return exact;
    const at = local.indexOf(this.#detailSeparator);
    return at > 0 ? this.#findExact(local.slice(0, at), domain, isUser) : undefined;
  }

  /** For names without a domain, in aliases and in the configuration: there, else in our first domain. */
  findNear(local: string, domain: string, isUser = false): Entry | undefined {
    return this.find(local, domain, isUser) ?? this.find(local, this.#firstDomain, isUser);
  }

  #findExact(local: string, domain: string, isUser: boolean): Entry | undefined {
    return (
      asAlias(isUser ? undefined : this.#aliases.get(aliasKey(local, domain))) ??
      asUser(this.users.findIn(domain, local), domain) ??
      asAlias(isUser ? undefined : this.#aliases.get(aliasKey(local, undefined))) ??
      asUser(this.users.findEverywhere(local), domain)
    );
  }
}

/** A local part may have an "@" in it, but no line feed. */
function aliasKey(local: string, domain: string | undefined): string {
  return domain === undefined ? local : `${domain}\n${local}`;
}

function asAlias(alias: Alias | undefined): Entry | undefined {
  return alias === undefined ? undefined : { kind: "alias", alias };
}

function asUser(user: User | undefined, domain: string): Entry | undefined {
  return user === undefined ? undefined : { kind: "user", user, domain };
}

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
  readonly #everywhere = new Map<string, Alias>();
  readonly #byDomain = new Map<string, Map<string, Alias>>();
  readonly #detailSeparator: string;
  readonly #firstDomain: string;

  constructor(users: UserTable, detailSeparator: string, firstDomain: string) {
    this.users = users;
    this.#detailSeparator = detailSeparator;
    this.#firstDomain = firstDomain;
  }

  /** Returns the one of the same name that is there already. */
  add(alias: Alias): Alias | undefined {
    const aliases = this.#aliasesOf(alias.domain);
    const other = aliases.get(alias.local);
    if (other === undefined) aliases.set(alias.local, alias);
    return other;
  }

  *aliases(): Generator<Alias> {
    yield* this.#everywhere.values();
    for (const aliases of this.#byDomain.values()) yield* aliases.values();
  }

  /** `local` is folded; with `isUser` aliases do not count. */
  find(local: string, domain: string, isUser = false): Entry | undefined {
    const exact = this.#findExact(local, domain, isUser);
    if (exact !== undefined || this.#detailSeparator === "") return exact;
    const at = local.indexOf(this.#detailSeparator);
    return at > 0 ? this.#findExact(local.slice(0, at), domain, isUser) : undefined;
  }

  /** For names without a domain, in aliases and in the configuration: near to this one, else in our first. */
  findNear(local: string, domain: string | undefined, isUser = false): Entry | undefined {
    const near = domain === undefined ? undefined : this.find(local, domain, isUser);
    return near ?? this.find(local, this.#firstDomain, isUser);
  }

  #findExact(local: string, domain: string, isUser: boolean): Entry | undefined {
    return (
      asAlias(isUser ? undefined : this.#byDomain.get(domain)?.get(local)) ??
      asUser(this.users.findIn(domain, local), domain) ??
      asAlias(isUser ? undefined : this.#everywhere.get(local)) ??
      asUser(this.users.findEverywhere(local), domain)
    );
  }

  #aliasesOf(domain: string | undefined): Map<string, Alias> {
    if (domain === undefined) return this.#everywhere;
    let aliases = this.#byDomain.get(domain);
    if (aliases === undefined) this.#byDomain.set(domain, (aliases = new Map()));
    return aliases;
  }
}

function asAlias(alias: Alias | undefined): Entry | undefined {
  return alias === undefined ? undefined : { kind: "alias", alias };
}

function asUser(user: User | undefined, domain: string): Entry | undefined {
  return user === undefined ? undefined : { kind: "user", user, domain };
}

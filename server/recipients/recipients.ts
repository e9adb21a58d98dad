/**
 * Whose mail is taken, and into which mailboxes it goes. A look-up is synchronous and touches no file. A reload
 * makes a new one; who holds the old one may go on with it.
 *
 * Nothing of an address that was asked for gets into a path: paths are made of names in the tables, of our domains
 * and of the template, and checked when they are loaded.
 */
import type { RecipientsConfig } from "../config/config.ts";
import { RecipientsError, shown } from "../config/problems.ts";
import type { Address } from "./address.ts";
import { parseAddress, quoteLocal } from "./address.ts";
import type { Alias } from "./aliases-file.ts";
import type { Directory, Entry } from "./directory.ts";
import { expand } from "./expansion.ts";
import { fillTemplate } from "./mailbox-path.ts";
import type { Mailbox, Resolution } from "./mailbox.ts";
import type { Sources } from "./sources.ts";
import { readSources } from "./sources.ts";
import { buildDirectory, configuredAddress } from "./tables.ts";

const MAILBOX_MODE = 0o600;
const POSTMASTER = "postmaster";
/** Mailboxes of aliases that were asked for lately: a list is asked for once, or many times. */
const CACHED_MAILBOXES_MAX = 10_000;

export class Recipients {
  readonly #config: RecipientsConfig;
  readonly #domains: ReadonlySet<string>;
  readonly #directory: Directory;
  readonly #mailGid: number | undefined;
  readonly #postmaster: Address;
  readonly #catchAll: Address | undefined;
  readonly #cache = new Map<Alias, readonly Mailbox[]>();
  #cached = 0;

  /** Throws RecipientsError with all that is wrong. */
  constructor(config: RecipientsConfig, sources: Sources) {
    this.#config = config;
    this.#domains = new Set(config.domains);
    this.#directory = buildDirectory(config, sources);
    this.#mailGid = "mailGid" in sources.users ? sources.users.mailGid : undefined;
    this.#postmaster = this.#leading("recipients.postmaster", config.postmaster);
    this.#catchAll =
      config.catchAll === undefined
        ? undefined
        : this.#leading("recipients.catch_all", config.catchAll);
  }

  /** Throws RecipientsError with all that is wrong. */
  static async load(config: RecipientsConfig): Promise<Recipients> {
    return new Recipients(config, await readSources(config));
  }

  /** How many users there are, aliases not counted. */
  get size(): number {
    return this.#directory.users.size;
  }

  /** `address` is what stood between the angle brackets of RCPT. */
  resolve(address: string): Resolution {
    const parsed = parseAddress(address);
    if (parsed.kind === "foreign") return { kind: "refused", reason: "relayDenied" };
    if (parsed.kind === "badLocal") return { kind: "refused", reason: "badAddress" };
    const { local } = parsed;
    // RFC 5321 section 4.1.1.3: the one name that needs no domain.
    const domain = parsed.domain ?? (local === POSTMASTER ? this.#config.domains[0] : undefined);
    if (domain === undefined) return { kind: "refused", reason: "badAddress" };
    if (!this.#domains.has(domain)) return { kind: "refused", reason: "relayDenied" };
    const entry = this.#find(local, domain);
    if (entry === undefined) return { kind: "refused", reason: "unknownUser" };
    return { kind: "accepted", mailboxes: this.#mailboxes(entry) };
  }

  #find(local: string, domain: string): Entry | undefined {
    const entry = this.#directory.find(local, domain);
    if (entry !== undefined) return entry;
    const instead = local === POSTMASTER ? this.#postmaster : this.#catchAll;
    if (instead === undefined) return undefined;
    if (instead.domain !== undefined) return this.#directory.find(instead.local, instead.domain);
    return this.#directory.findNear(instead.local, domain);
  }

  #leading(key: string, text: string): Address {
    const address = configuredAddress(this.#directory, this.#config, text);
    if (address !== undefined) return address;
    const problem = `${shown(text)} is no user and no alias`;
    throw new RecipientsError([{ place: key, text: problem }]);
  }

  #mailboxes(entry: Entry): readonly Mailbox[] {
    if (entry.kind === "user") return [this.#mailbox(entry)];
    const cached = this.#cache.get(entry.alias);
    if (cached !== undefined) return cached;
    const mailboxes = this.#expand(entry.alias);
    if (this.#cached + mailboxes.length > CACHED_MAILBOXES_MAX) {
      this.#cache.clear();
      this.#cached = 0;
    }
    this.#cache.set(entry.alias, mailboxes);
    this.#cached += mailboxes.length;
    return mailboxes;
  }

  #expand(alias: Alias): readonly Mailbox[] {
    const byPath = new Map<string, Mailbox>();
    for (const entry of expand(this.#directory, alias)) {
      const mailbox = this.#mailbox(entry);
      // A user of all domains who is reached in two of them has one mailbox, if the template says so.
      if (!byPath.has(mailbox.path)) byPath.set(mailbox.path, mailbox);
    }
    return [...byPath.values()];
  }

  #mailbox({ user, domain }: Extract<Entry, { kind: "user" }>): Mailbox {
    const { name, uid, mailbox, quotaBytes } = user;
    return {
      path: mailbox ?? fillTemplate(this.#config.mailbox, name, domain),
      address: `${quoteLocal(name)}@${domain}`,
      owner:
        uid !== undefined && this.#mailGid !== undefined
          ? { uid, gid: this.#mailGid }
          : this.#config.owner,
      mode: MAILBOX_MODE,
      quotaBytes: quotaBytes ?? this.#config.quotaBytes,
    };
  }
}

/**
 * Who has a mailbox: by name for all domains, or by name and domain. Every worker has such a table, so a user
 * who has nothing of his own is a number in a map, not an object.
 */
import { foldLocal } from "./address.ts";

export interface User {
  /** As it was written; the table's key is its folded form. */
  readonly name: string;
  /** undefined: in all our domains. */
  readonly domain: string | undefined;
  /** Of a system account. */
  readonly uid: number | undefined;
  /** undefined: as the configuration has it for everybody. */
  readonly quotaBytes: number | undefined;
  /** Path of the mailbox; undefined: as the template has it. */
  readonly mailbox: string | undefined;
}

const NOTHING_OF_HIS_OWN = -1;
/** A number is NOTHING_OF_HIS_OWN or a uid; the rest follows from the key. */
type Row = number | User;

export class UserTable {
  readonly #everywhere = new Map<string, Row>();
  readonly #byDomain = new Map<string, Map<string, Row>>();
  #first: User | undefined;
  #size = 0;
  #hasOwnMailboxes = false;

  get size(): number {
    return this.#size;
  }

  /** Whether any user's mailbox is not where the template has it. */
  get hasOwnMailboxes(): boolean {
    return this.#hasOwnMailboxes;
  }

  /** Of the order in which they were added. */
  get first(): User | undefined {
    return this.#first;
  }

  /** Domains in which there are users who are not in all of them. */
  get domains(): readonly string[] {
    return [...this.#byDomain.keys()];
  }

  /** Returns false for one who is there already. */
  add(user: User): boolean {
    const key = foldLocal(user.name);
    const rows = this.#rowsOf(user.domain);
    if (rows.has(key)) return false;
    const isPlain =
      key === user.name && user.quotaBytes === undefined && user.mailbox === undefined;
    rows.set(key, isPlain ? (user.uid ?? NOTHING_OF_HIS_OWN) : user);
    this.#first ??= user;
    this.#size++;
    if (user.mailbox !== undefined) this.#hasOwnMailboxes = true;
    return true;
  }

  /** The user of this domain alone. `local` is folded. */
  findIn(domain: string, local: string): User | undefined {
    return asUser(this.#byDomain.get(domain)?.get(local), local, domain);
  }

  /** The user of all domains. `local` is folded. */
  findEverywhere(local: string): User | undefined {
    return asUser(this.#everywhere.get(local), local, undefined);
  }

  *users(): Generator<User> {
    for (const [key, row] of this.#everywhere) yield asUser(row, key, undefined)!;
    for (const [domain, rows] of this.#byDomain) {
      for (const [key, row] of rows) yield asUser(row, key, domain)!;
    }
  }

  #rowsOf(domain: string | undefined): Map<string, Row> {
    if (domain === undefined) return this.#everywhere;
    let rows = this.#byDomain.get(domain);
    if (rows === undefined) this.#byDomain.set(domain, (rows = new Map()));
    return rows;
  }
}

function asUser(row: Row | undefined, name: string, domain: string | undefined): User | undefined {
  if (typeof row !== "number") return row;
  const uid = row === NOTHING_OF_HIS_OWN ? undefined : row;
  return { name, domain, uid, quotaBytes: undefined, mailbox: undefined };
}

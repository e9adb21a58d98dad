/**
 * The names of a directory as they were when the stream was opened (or last rewound), in the order of
 * their cookies: the index's rows and, over them, the names that changed since the last checkpoint.
 */
import { ByteReader } from "../../base/bytes.ts";
import type { DirectoryEntry } from "../operations.ts";
import { cookieKey, secondNumber } from "./index/keys.ts";
import type { IndexRows, StoreIndex } from "./index/store-index.ts";
import type { Dentry } from "./state/dentry.ts";
import { decodeCookieRow } from "./state/dentry.ts";
import type { State } from "./state/state.ts";

export class DirectoryStream {
  readonly #state: State;
  readonly #index: StoreIndex;
  readonly #ino: number;
  /** The cookie of the last entry that was handed out. */
  #position = 0;
  #rows: IndexRows | undefined;
  #read: DirectoryEntry[] = [];
  #rowsEnded = false;
  /** Names that differ from the index: present ones in order, and the cookies of all. */
  #changed: DirectoryEntry[] = [];
  #changedCookies = new Set<number>();

  constructor(state: State, index: StoreIndex, ino: number) {
    this.#state = state;
    this.#index = index;
    this.#ino = ino;
    this.#rewind(0);
  }

  /** Entries behind `cookie`; none at the end. */
  async read(cookie: number, countMax: number): Promise<DirectoryEntry[]> {
    if (cookie !== this.#position) {
      const old = this.#rows;
      this.#rewind(cookie);
      await old?.close();
    }
    const entries: DirectoryEntry[] = [];
    while (entries.length < countMax) {
      if (this.#read.length === 0 && !this.#rowsEnded) await this.#fill(countMax);
      const row = this.#read[0];
      const changed = this.#changed[0];
      if (row === undefined && changed === undefined) break;
      const first = row === undefined || (changed && changed.cookie < row.cookie) ? changed : row;
      if (first === undefined) break;
      if (first === row) this.#read.shift();
      else this.#changed.shift();
      entries.push(first);
      this.#position = first.cookie;
    }
    return entries;
  }

  async close(): Promise<void> {
    const rows = this.#rows;
    this.#rows = undefined;
    this.#rowsEnded = true;
    await rows?.close();
  }

  /** Takes the snapshot: the rows and the changed names in the same turn. */
  #rewind(cookie: number): void {
    this.#position = cookie;
    this.#rows = this.#index.rows({
      gte: cookieKey(this.#ino, cookie + 1),
      lt: cookieKey(this.#ino + 1, 0),
    });
    this.#read = [];
    this.#rowsEnded = false;
    this.#changed = [];
    this.#changedCookies = new Set();
    for (const dentry of this.#state.dentries.changedIn(this.#ino)) {
      this.#changedCookies.add(dentry.cookie);
      if (!dentry.removed && dentry.cookie > cookie) this.#changed.push(entryOf(dentry));
    }
    this.#changed.sort((a, b) => a.cookie - b.cookie);
  }

  async #fill(count: number): Promise<void> {
    const rows = await this.#rows?.next(count);
    if (rows === undefined || rows.length === 0) {
      this.#rowsEnded = true;
      return;
    }
    for (const [key, value] of rows) {
      const cookie = secondNumber(key);
      if (this.#changedCookies.has(cookie)) continue;
      this.#read.push(entryOf(decodeCookieRow(this.#ino, cookie, new ByteReader(value))));
    }
  }
}

function entryOf(dentry: Dentry): DirectoryEntry {
  return {
    name: dentry.name,
    ino: dentry.ino,
    type: dentry.fileType,
    cookie: dentry.cookie,
  };
}

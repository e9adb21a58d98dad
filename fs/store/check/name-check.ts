/**
 * Proves that each name names an inode that exists, of this type, that both rows of a name agree, that link counts
 * and numbers of entries are right, and that every directory is below the root, once.
 */
import { ByteReader } from "../../../base/bytes.ts";
import { isDirectory, S_IFDIR, S_IFMT } from "../../attributes.ts";
import { cookieKey, firstNumber, secondNumber } from "../index/keys.ts";
import { ROOT_INO } from "../state/counters.ts";
import type { Dentry } from "../state/dentry.ts";
import { decodeCookieRow, decodeNameRow } from "../state/dentry.ts";
import type { Inode } from "../state/inode.ts";
import type { CheckedStore } from "./checked-store.ts";
import { Tally } from "./tally.ts";

export class NameCheck {
  readonly #store: CheckedStore;
  /** By inode: names that it has. */
  readonly #links = new Tally();
  /** By directory. */
  readonly #entries = new Tally();
  readonly #subdirectories = new Tally();
  names = 0;

  constructor(store: CheckedStore) {
    this.#store = store;
  }

  async run(): Promise<void> {
    await this.#checkNames();
    await this.#checkCookies();
    await this.#store.eachInode((inode) => this.#checkLinks(inode));
    this.#checkPending();
  }

  async #checkNames(): Promise<void> {
    await this.#store.eachRow("d", (key, value) => {
      this.names++;
      const parent = firstNumber(key);
      const name = key.toString("latin1", 7);
      const row = decodeNameRow(parent, name, new ByteReader(value));
      this.#entries.add(parent);
      this.#links.add(row.ino);
      if (row.fileType === S_IFDIR) this.#subdirectories.add(parent);
      this.#checkName(row);
    });
  }

  #checkName({ parent, name, ino, fileType, cookie }: Dentry): void {
    const { state, index, problems } = this.#store;
    const where = `name ${JSON.stringify(name)} in directory ${parent}`;
    const inode = state.inode(ino);
    if (inode === undefined) problems.add(`${where} names inode ${ino}, which is not there`);
    else if ((inode.mode & S_IFMT) !== fileType) problems.add(`${where} has a wrong type`);
    if (fileType === S_IFDIR && inode !== undefined && inode.parent !== parent) {
      problems.add(`${where} is a directory whose parent is ${inode.parent}`);
    }
    const other = index.get(cookieKey(parent, cookie));
    const twin = other && decodeCookieRow(parent, cookie, new ByteReader(other));
    if (twin?.name !== name || twin.ino !== ino) {
      problems.add(`${where} and its row in the order of cookies differ`);
    }
  }

  async #checkCookies(): Promise<void> {
    const { state, problems } = this.#store;
    let cookies = 0;
    await this.#store.eachRow("e", (key) => {
      cookies++;
      const parent = state.inode(firstNumber(key));
      if (parent !== undefined && secondNumber(key) > parent.lastCookie) {
        problems.add(`directory ${parent.ino} has a cookie that it never gave`);
      }
    });
    problems.expect("names in the order of cookies", cookies, this.names);
  }

  #checkLinks(inode: Inode): void {
    const { state, problems } = this.#store;
    const { ino } = inode;
    if (isDirectory(inode.mode)) this.#checkDirectory(inode);
    else problems.expect(`links of inode ${ino}`, this.#links.get(ino), inode.nlink);
    if (inode.nlink === 0 && !state.orphans.has(ino)) {
      problems.add(`inode ${ino} has no name and is not known as an orphan`);
    }
  }

  #checkDirectory({ ino, entryCount, nlink }: Inode): void {
    const { problems } = this.#store;
    problems.expect(`entries of inode ${ino}`, this.#entries.get(ino), entryCount);
    if (nlink === 0) return;
    const named = this.#links.get(ino);
    if (ino !== ROOT_INO && named !== 1) {
      problems.add(`inode ${ino} is a directory with ${named} names`);
    }
    problems.expect(`links of inode ${ino}`, 2 + this.#subdirectories.get(ino), nlink);
    if (!this.#reachesRoot(ino)) problems.add(`inode ${ino} is not below the root`);
  }

  #reachesRoot(start: number): boolean {
    const seen = new Set<number>();
    for (let ino = start; ino !== ROOT_INO;) {
      if (seen.has(ino)) return false;
      seen.add(ino);
      const directory = this.#store.state.inode(ino);
      if (directory === undefined || !isDirectory(directory.mode)) return false;
      ino = directory.parent;
    }
    return true;
  }

  #checkPending(): void {
    const { state, problems } = this.#store;
    for (const { change } of state.pending.values()) {
      const directory = state.inode(change.parent);
      if (directory === undefined || !isDirectory(directory.mode)) {
        problems.add(
          `pending delivery ${change.id} waits in directory ${change.parent}: not there`,
        );
      }
    }
  }
}

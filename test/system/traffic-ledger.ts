/**
 * What must be in a mailbox, kept outside of it: each message that was given to a server, whether that was
 * acknowledged, and what was done to it since. Whatever contradicts it is a problem.
 */
import { numberOf, hashOf, type TrafficMail } from "./traffic-mail.ts";

interface Entry {
  readonly hash: string;
  isAcknowledged: boolean;
  /** Somebody has asked for its deletion: it may go at any time. */
  isDoomed: boolean;
  /** Its expunge was answered, and it was not there any more. */
  isGone: boolean;
  uid: number | undefined;
  readonly flags: Set<string>;
}

export interface Found {
  readonly number: number | undefined;
  readonly hash: string;
}

export class Ledger {
  readonly name: string;
  /**
   * No problem: of two Dovecot sessions of which one sets flags while the other rewrites the mailbox, the second
   * sometimes takes the flags back, on any file system, and tells both clients.
   */
  flagsLost = 0;
  #problems: string[];
  readonly #entries = new Map<number, Entry>();
  readonly #numbers = new Map<number, number>();
  #uidValidity: string | undefined;
  /** Every message up to this number is gone. */
  #clearedTo = 0;

  constructor(name: string, problems: string[]) {
    this.name = name;
    this.#problems = problems;
  }

  /** From now on problems go there. */
  tellTo(problems: string[]): this {
    this.#problems = problems;
    return this;
  }

  /** Before it is sent: it can be seen before it is acknowledged. */
  gives(mail: TrafficMail, how: "quoted" | "plain"): void {
    this.#entries.set(mail.number, {
      hash: how === "quoted" ? mail.quotedHash : mail.hash,
      isAcknowledged: false,
      isDoomed: false,
      isGone: false,
      uid: undefined,
      flags: new Set(),
    });
  }

  acknowledged(mail: TrafficMail): void {
    this.#entries.get(mail.number)!.isAcknowledged = true;
  }

  selected(uidValidity: string | undefined): void {
    this.#uidValidity ??= uidValidity;
    if (uidValidity === undefined || uidValidity !== this.#uidValidity) {
      this.#problem(`UIDVALIDITY was ${this.#uidValidity} and is ${uidValidity}`);
    }
  }

  /** A session has found a message, its header at least. */
  saw(uid: number, header: string): Entry | undefined {
    const number = numberOf(header);
    const entry = number === undefined ? undefined : this.#entries.get(number);
    if (number === undefined || entry === undefined) {
      this.#problem(`UID ${uid} is message ${number}, which was never given: ${header}`);
      return undefined;
    }
    this.identified(uid, number);
    return entry;
  }

  identified(uid: number, number: number): void {
    const entry = this.#entries.get(number)!;
    entry.uid ??= uid;
    if (entry.uid !== uid) this.#problem(`message ${number} had UID ${entry.uid} and has ${uid}`);
    const before = this.#numbers.get(uid);
    if (before !== undefined && before !== number) {
      this.#problem(`UID ${uid} was message ${before} and is ${number}`);
    }
    this.#numbers.set(uid, number);
  }

  sawWhole(uid: number, message: string): void {
    const entry = this.saw(uid, message);
    if (entry === undefined || entry.hash === hashOf(message)) return;
    this.#problem(`UID ${uid} is damaged: ${JSON.stringify(message)}`);
  }

  /** Before the flag \Deleted is set, with which everybody else's EXPUNGE may take it. */
  dooms(uids: readonly number[]): void {
    for (const entry of this.#of(uids)) entry.isDoomed = true;
  }

  /** The session that has asked for it sees them no more. */
  expunged(uids: readonly number[]): void {
    for (const entry of this.#of(uids)) entry.isGone = true;
  }

  flagged(uids: readonly number[], flag: string): void {
    for (const entry of this.#of(uids)) entry.flags.add(flag);
  }

  /** All messages as the mailbox shows them in the end, each once. `flags` of each, where they are known. */
  holds(found: readonly Found[], reader: string, flags?: readonly (readonly string[])[]): void {
    const times = new Map<number, number>();
    for (const [i, { number, hash }] of found.entries()) {
      const entry = number === undefined ? undefined : this.#entries.get(number);
      if (number === undefined || entry === undefined) {
        const why = (number ?? Infinity) <= this.#clearedTo ? "was removed" : "was never given";
        this.#problem(`${reader} shows message ${number}, which ${why}`);
        continue;
      }
      times.set(number, (times.get(number) ?? 0) + 1);
      const what = `${reader} shows message ${number} (UID ${entry.uid})`;
      if (entry.hash !== hash) this.#problem(`${what} damaged`);
      if (entry.isGone) this.#problem(`${what}, which was expunged or had not come before`);
      const missing = [...entry.flags].filter((flag) => flags?.[i]?.includes(flag) === false);
      this.flagsLost += missing.length;
    }
    for (const [number, entry] of this.#entries) {
      const count = times.get(number) ?? 0;
      const what = `message ${number} (UID ${entry.uid})`;
      if (count > 1) this.#problem(`${reader} shows ${what} ${count} times`);
      if (count === 0 && entry.isAcknowledged && !entry.isDoomed) {
        this.#problem(`${reader} lacks ${what}`);
      }
    }
  }

  /** Nobody delivers or expunges any more: what is not there now must not come later, and what is must stay. */
  settle(found: readonly Found[]): void {
    const shown = new Set(found.map(({ number }) => number));
    for (const [number, entry] of this.#entries) {
      if (!shown.has(number)) entry.isGone = true;
      else if (!entry.isDoomed) entry.isAcknowledged = true;
    }
  }

  /** Somebody has emptied or removed the mailbox: nothing of it may come back. */
  cleared(): void {
    this.#clearedTo = Math.max(this.#clearedTo, ...this.#entries.keys());
    this.#entries.clear();
    this.#numbers.clear();
  }

  /** Whether somebody has asked for its deletion. */
  isDoomed({ number }: TrafficMail): boolean {
    return this.#entries.get(number)?.isDoomed ?? true;
  }

  get given(): number {
    return this.#entries.size;
  }

  get gone(): number {
    return [...this.#entries.values()].filter(({ isGone }) => isGone).length;
  }

  #of(uids: readonly number[]): Entry[] {
    return uids.map((uid) => this.#entries.get(this.#numbers.get(uid)!)!);
  }

  #problem(text: string): void {
    this.#problems.push(`${this.name}: ${text.slice(0, 2_000)}`);
  }
}

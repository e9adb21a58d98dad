/**
 * What a serving process notes for its successor while it works, and what only makes sense together: which request is
 * being carried out, so that its commit can be told from others.
 *
 *     request ─► begin ─► commit: its place in the log is noted, then it is written ─► answered
 *
 * A request that the kernel sends again has been carried out when the log reaches to where its commit was to end. A
 * commit is written by one thread, so that no other can lie there. Nothing is noted for a READ, a GETATTR,
 * a WRITE to an offset or whatever else may be done twice.
 *
 * Invariant: a record is written before what it tells can be seen by anybody else.
 */
import type { LockRequest } from "../locks/table.ts";
import type { Change } from "../store/records/change.ts";
import type { LogPosition } from "../store/log/log.ts";
import type { Inherited, InheritedLock, Intent } from "./inherited.ts";
import type { JournalRecord, MemoryJournal } from "./memory-journal.ts";
import type { NotedSession } from "./noted-session.ts";
import { NotedSessions } from "./noted-session.ts";

/** On whose behalf a commit is made. */
export type Cause =
  /** A request that must not be carried out twice, by its number. */
  | {
      readonly by: "request";
      readonly unique: number;
      /** A hint by ioctl(2): the kernel does not know what it changes. */
      readonly isHint?: true;
    }
  /** Request `index` of those that were written to a control file. */
  | { readonly by: "hint"; readonly handle: number; readonly index: number }
  /** A request that may be; the kernel knows what it changes. */
  | { readonly by: "kernel" };

const kernel: Cause = { by: "kernel" };

/** What only the others know, for the snapshot of all that counts. */
export interface JournalSource {
  readonly locks: () => Iterable<InheritedLock>;
  /** Whether the kernel has heard of every change of the inode. */
  readonly isTold: (ino: number) => boolean;
}

/** What holds for the connection from one process to the next. */
export type Terms = Pick<Inherited, "minor" | "resends" | "heraldPid" | "device">;

/** Until it is tried again to keep a journal for which there was no room. */
const RETRY_MS = 5_000;

export class TakeoverJournal {
  readonly sessions: NotedSessions;
  /** The number of the request that is being handled. */
  unique = 0;
  /** The second with which this process's handles begin. */
  readonly handleSec: number;
  readonly #memory: MemoryJournal;
  #source: JournalSource | undefined;
  #cause: Cause | undefined;
  /** What the answer needs besides. */
  #value = 0;
  /** Requests that have committed and are not answered. */
  readonly #intents = new Map<number, Intent>();
  readonly #notices = new Set<number>();
  #init: JournalRecord | undefined;
  #heraldPid = 0;
  #device: string | undefined;
  #lastIntent: number | undefined;
  readonly #nowMs: () => number;
  /** When there was no room. */
  #retryAtMs = 0;

  constructor(memory: MemoryJournal, handleSec: number, nowMs = () => performance.now()) {
    this.#memory = memory;
    this.#nowMs = nowMs;
    this.handleSec = handleSec;
    this.sessions = new NotedSessions(memory, (text, bytes) => this.#append(text, bytes));
  }

  /**
   * From here on it is kept. What was inherited counts until a request that was sent again is answered, so it is
   * written anew before anything else is.
   */
  begin(
    source: JournalSource,
    intents: ReadonlyMap<number, Intent>,
    notices: Iterable<number>,
    sessions: readonly NotedSession[],
    terms?: Terms,
  ): void {
    this.#source = source;
    if (terms !== undefined) {
      this.#init = this.#initRecord(terms.minor, terms.resends);
      this.#heraldPid = terms.heraldPid;
      this.#device = terms.device;
    }
    for (const [unique, intent] of intents) this.#intents.set(unique, intent);
    for (const ino of notices) this.#notices.add(ino);
    for (const session of sessions) this.sessions.adopt(session);
    this.#rewrite();
  }

  /** The connection's terms; the reply to INIT follows. */
  connected(minor: number, resends: boolean): void {
    this.#init = this.#initRecord(minor, resends);
    this.#rewrite();
  }

  /** `device`: "major:minor" of the file system. */
  mounted(device: string): void {
    this.#device = device;
    this.#append({ t: "mounted", device });
  }

  heraldStarted(pid: number): void {
    this.#heraldPid = pid;
    this.#append({ t: "herald", pid });
  }

  /** A request of the kernel is handled next; `isOnce`: it must not be carried out twice. */
  handle(unique: number, isOnce: boolean): void {
    this.unique = unique;
    this.#cause = isOnce ? { by: "request", unique } : kernel;
  }

  /** Its handler has returned. */
  handled(): void {
    this.#cause = undefined;
    this.unique = 0;
  }

  /**
   * Runs what commits, up to its first await, on behalf of a request that came before; undefined: of none, such as
   * what an unlock lets show.
   */
  on<T>(cause: Cause | undefined, commit: () => T, value = 0): T {
    const before = this.#cause;
    this.#cause = cause;
    this.#value = value;
    try {
      return commit();
    } finally {
      this.#cause = before;
    }
  }

  /** Its reply is written: the kernel does not ask again. */
  answered(uniqueLow: number, uniqueHigh: number): void {
    if (this.#intents.size === 0) return;
    this.#intents.delete(uniqueLow + (uniqueHigh % 0x8000_0000) * 0x1_0000_0000);
  }

  /** Whether a request that was sent again has been carried out. */
  executed(unique: number): Intent | undefined {
    return this.#intents.get(unique);
  }

  /** Requests that were in the kernel's hands when the predecessor died have all been seen: what is left was answered. */
  forgetInherited(underWay: ReadonlySet<number>): void {
    for (const unique of this.#intents.keys()) {
      if (!underWay.has(unique)) this.#intents.delete(unique);
    }
  }

  /** A request has changed units, which is noted with its session. `lastToken`: see answerOf(). */
  carriedOut(unique: number, lastToken: number): void {
    this.#intents.set(unique, { end: undefined, pends: 0, value: lastToken });
  }

  /** A commit is about to be written, up to `end`. */
  committing(changes: readonly Change[], end: LogPosition): void {
    const cause = this.#cause;
    if (cause?.by === "kernel") return;
    let pends = 0;
    const inodes: number[] = [];
    for (const change of changes) {
      if (change.type === "pend") pends++;
      else if (change.type === "deliver") for (const { ino } of change.targets) inodes.push(ino);
      else if (change.type === "splice" || change.type === "attributes" || change.type === "cut") {
        inodes.push(change.ino);
      }
    }
    const e = [end.segment, end.offset];
    const value = this.#value;
    const r = [pends, value];
    if (cause?.by === "request") {
      this.#lastIntent = undefined;
      // Its second commit (set-user-id bits go with a write) may be made again.
      if (this.#intents.has(cause.unique)) return;
      const isHint = cause.isHint === true;
      this.#append({ t: "do", u: cause.unique, e, r, ...(isHint ? { i: inodes } : {}) });
      if (isHint) for (const ino of inodes) this.#notices.add(ino);
      this.#intents.set(cause.unique, { end, pends, value });
      this.#lastIntent = cause.unique;
      return;
    }
    this.#lastIntent = undefined;
    if (cause === undefined) this.#append({ t: "do", i: inodes, e });
    else {
      const { handle, index } = cause;
      this.#append({ t: "do", h: handle, n: index, e, r, i: inodes });
      this.sessions.committed(handle, index, { end, pends, value });
    }
    // Not before: a journal that is rewritten for the record leaves out what the kernel has heard of until now.
    for (const ino of inodes) this.#notices.add(ino);
  }

  /** The commit that was announced last was not written. */
  refused(): void {
    const cause = this.#cause;
    // By name: what is appended may stand behind other intents, in a journal that is written anew.
    if (cause?.by === "request" && this.#lastIntent !== undefined) {
      this.#intents.delete(this.#lastIntent);
      this.#append({ t: "refused", u: this.#lastIntent });
    } else if (cause?.by === "hint") {
      const { handle, index } = cause;
      this.sessions.refused(handle, index);
      this.#append({ t: "refused", h: handle, n: index });
    }
  }

  lockSet(ino: number, request: LockRequest): void {
    this.#append(lockRecord({ ino, request }).text);
  }

  lockOwnerDropped(ino: number, owner: bigint): void {
    this.#append({ t: "dropOwner", i: ino, o: `${owner}` });
  }

  lockHandleDropped(ino: number, handle: number): void {
    this.#append({ t: "dropHandle", i: ino, h: handle });
  }

  /** Every few seconds: who only reads writes no record, and would lose its files with this process until there is one. */
  tick(): void {
    if (this.#source !== undefined && this.#memory.failed) this.#tryAgain();
  }

  #initRecord(minor: number, resends: boolean): JournalRecord {
    return plain({ t: "init", minor, resends, sec: this.handleSec });
  }

  #append(text: JournalRecord["text"], bytes?: Buffer): number {
    if (this.#source === undefined) return 0;
    if (this.#memory.failed) {
      if (!this.#tryAgain()) return 0;
    } else if (this.#memory.isLong) this.#rewrite();
    let at = this.#memory.append(text, bytes);
    if (at === undefined) {
      // What does not count any more makes room.
      this.#rewrite();
      at = this.#memory.append(text, bytes);
    }
    if (at === undefined) {
      if (!this.#memory.failed) this.#memory.fail("no room for a record");
      this.sessions.lost();
      this.#retryAtMs = this.#nowMs() + RETRY_MS;
    }
    return at ?? 0;
  }

  /** Whether there is room again. */
  #tryAgain(): boolean {
    if (this.#nowMs() < this.#retryAtMs) return false;
    this.#retryAtMs = this.#nowMs() + RETRY_MS;
    this.#memory.begin();
    this.#rewrite();
    return !this.#memory.failed;
  }

  #rewrite(): void {
    if (this.#source === undefined) return;
    const { locks, isTold } = this.#source;
    const records: JournalRecord[] = [];
    if (this.#init !== undefined) records.push(this.#init);
    if (this.#device !== undefined) records.push(plain({ t: "mounted", device: this.#device }));
    if (this.#heraldPid !== 0) records.push(plain({ t: "herald", pid: this.#heraldPid }));
    for (const lock of locks()) records.push(lockRecord(lock));
    for (const ino of this.#notices) if (isTold(ino)) this.#notices.delete(ino);
    if (this.#notices.size > 0) records.push(plain({ t: "do", i: [...this.#notices] }));
    for (const [unique, { end, pends, value }] of this.#intents) {
      const e = end && [end.segment, end.offset];
      records.push(plain({ t: "do", u: unique, e, r: [pends, value] }));
    }
    this.sessions.rewritten(records, (all) => this.#memory.rewrite(all));
  }
}

function plain(text: JournalRecord["text"]): JournalRecord {
  return { text, bytes: undefined };
}

function lockRecord({ ino, request }: InheritedLock): JournalRecord {
  const { owner, type, flavor, start, end, pid, handle } = request;
  return plain({ t: "lock", i: ino, o: `${owner}`, l: [type, flavor, start, end, pid, handle] });
}

/**
 * The spool: a store with everything that makes a file system of it, except a mount. A binding
 * (fs/kernel/, fs/native/) carries its operations and announces itself with setInvalidator.
 *
 * This file only connects: a released lock and a changed name let deliveries show, what deliveries and hints
 * change behind the kernel's back it is told, and who takes a lock waits until it was.
 */
import type { Time } from "./attributes.ts";
import { Deliveries } from "./delivery/deliveries.ts";
import { Invalidations } from "./delivery/invalidations.ts";
import { Files } from "./files/files.ts";
import type { DeliverAccount } from "./hints/deliver-account.ts";
import { Hints } from "./hints/hints.ts";
import { LockTable } from "./locks/table.ts";
import type { Invalidator, Operations } from "./operations.ts";
import type { StoreOptions } from "./store/opening.ts";
import { Store, systemTime } from "./store/store.ts";
import type { Inherited } from "./takeover/inherited.ts";
import type { JournalSource } from "./takeover/journal.ts";
import type { NotedSession } from "./takeover/noted-session.ts";
import { notedSession } from "./takeover/noted-session.ts";
import type { Takeover } from "./takeover/start.ts";
import { landed, landedSession } from "./takeover/start.ts";
import type { Every } from "./timers.ts";
import { systemEvery } from "./timers.ts";

/** How often the age of dotlocks and unlinked units is looked at, and what failed is tried again. */
const TICK_MS = 5_000;

export interface SpoolOptions {
  /** Make the store if the directory is missing or empty. */
  readonly create?: boolean;
  /** Told what a long start is doing: bytes of the log read so far and in all. */
  readonly onProgress?: StoreOptions["onProgress"];
  /** Whether the space of what nobody references is given back in the background; default: it is. */
  readonly reclaim?: boolean;
  /** The mount option deliver=UID. */
  readonly deliver?: DeliverAccount | undefined;
  readonly now?: () => Time;
  readonly every?: Every;
  /** What an earlier process has left, and where this one notes what its successor needs. */
  readonly takeover?: Takeover | undefined;
  /** Largest handle that the binding can carry: 2^31-1 for fuse-native, 2^53-1 otherwise. */
  readonly handleMax?: number;
  /** Of the store, for tests (bytes). */
  readonly segmentLength?: number;
  /** How the store is opened: for tests, which have it on a disk of their own. */
  readonly openStore?: (directory: string, options: StoreOptions) => Promise<Store>;
}

export class Spool {
  readonly store: Store;
  readonly operations: Operations;
  readonly #files: Files;
  readonly #deliveries: Deliveries;
  readonly #hints: Hints;
  readonly #locks: LockTable;
  readonly #takeover: Takeover | undefined;
  /** The kernel has been told, or is being told, of what an earlier process has changed. */
  #hasTold: boolean;
  readonly #invalidations = new Invalidations();
  #invalidator: Invalidator | undefined;
  readonly #every: Every;
  #stopTicking: (() => void) | undefined;

  private constructor(store: Store, options: SpoolOptions) {
    const now = options.now ?? systemTime;
    const invalidations = this.#invalidations;
    const journal = options.takeover?.journal;
    /** On nobody's behalf: what shows then is no part of the request that made it possible. */
    const aside = (show: () => void): void =>
      journal === undefined ? show() : journal.on(undefined, show);
    const locks = new LockTable({
      onUnlocked: (ino) => aside(() => this.#deliveries.unlocked(ino)),
      observer: journal,
    });
    this.store = store;
    this.#every = options.every ?? systemEvery;
    store.observer = journal;
    this.#locks = locks;
    this.#takeover = options.takeover;
    this.#hasTold = options.takeover?.inherited === undefined;
    this.#deliveries = new Deliveries({ store, locks, invalidations, now });
    this.#hints = new Hints({
      store,
      locks,
      deliveries: this.#deliveries,
      invalidations,
      now,
      deliverAccount: options.deliver,
      journal,
    });
    this.#files = new Files({
      store,
      locks,
      hints: this.#hints,
      now,
      nameChanged: (parent, name) => aside(() => this.#deliveries.nameChanged(parent, name)),
      journal,
      ...(journal === undefined ? {} : { nowMs: journal.handleSec * 1000 }),
      hasPendingIn: (directory) => this.#deliveries.hasPendingIn(directory),
      settled: (ino) => invalidations.settled(ino),
      isKnown: (ino) => this.#isKnown(ino),
      ...(options.handleMax === undefined ? {} : { handleMax: options.handleMax }),
    });
    this.operations = this.#files;
  }

  /** Throws StoreError: no store there, of another format, damaged, or open in another process. */
  static async open(storeDirectory: string, options: SpoolOptions = {}): Promise<Spool> {
    const { openStore = (...given) => Store.open(...given) } = options;
    const store = await openStore(storeDirectory, storeOptions(options));
    try {
      const spool = new Spool(store, options);
      const inherited = options.takeover?.inherited;
      if (inherited === undefined) spool.#start();
      else spool.#inherit(inherited);
      return spool;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  /** Whether a program holds a lock for writing: it may be rewriting a mailbox. */
  get isLockedForWriting(): boolean {
    return this.#locks.isHeldForWriting;
  }

  /** The mount is about to go: nobody begins to rewrite a mailbox who has not locked it yet. */
  drain(): void {
    this.#locks.drain();
  }

  #start(): void {
    this.#files.orphans.dropLeftOver();
    this.#takeover?.journal.begin(this.#journalSource(), new Map(), [], []);
    this.#goOn();
  }

  /** What the kernel relies on is here again; nothing is changed yet. */
  #inherit(inherited: Inherited): void {
    const { locks, intents, notices, sessions } = inherited;
    for (const lock of locks) {
      if (lock.type === "set") this.#locks.setLock(lock.ino, lock.request);
      else if (lock.type === "dropOwner") this.#locks.releaseOwner(lock.ino, lock.owner);
      else this.#locks.releaseHandle(lock.ino, lock.handle);
    }
    const { end } = this.store.recovered;
    const noted: NotedSession[] = [];
    for (const [handle, session] of sessions) {
      const present = landedSession(session, end);
      sessions.set(handle, present);
      noted.push(notedSession(present));
    }
    this.#files.orphans.adoptLeftOver();
    const journal = this.#takeover?.journal;
    journal?.begin(this.#journalSource(), landed(intents, end), notices, noted, inherited);
  }

  /**
   * Goes on where an earlier process has ended: the kernel can be told of changes, and sends no request yet. Requests
   * in control files are carried out that it had taken and not answered.
   */
  resume(invalidator: Invalidator): void {
    this.setInvalidator(invalidator);
    const inherited = this.#takeover?.inherited;
    if (inherited === undefined) return;
    for (const ino of inherited.notices) void this.#invalidations.start(ino, 0);
    this.#hasTold = true;
    this.#files.sessions.restore(inherited.sessions.values());
    const named = new Set(this.#hints.takeUnits());
    for (const unit of this.store.unlinkedUnits()) if (!named.has(unit)) this.store.dropUnit(unit);
    // What pends is known before requests go on: they may add to it.
    this.#goOn();
    this.#hints.resume();
    // All of it has a place of its own by now.
    inherited.sessions.clear();
    inherited.locks.length = 0;
  }

  #journalSource(): JournalSource {
    return {
      locks: () => this.#locks.held(),
      isTold: (ino) => this.#hasTold && this.#invalidations.settled(ino) === undefined,
    };
  }

  #goOn(): void {
    this.#deliveries.start();
    this.#stopTicking = this.#every(TICK_MS, () => {
      this.#deliveries.tick();
      this.#hints.tick();
      this.#files.offcuts.tick();
      this.#files.orphans.tick();
      this.#takeover?.journal.tick();
    });
  }

  /** The binding whose kernel has to be told of changes; undefined when it is gone. */
  setInvalidator(invalidator: Invalidator | undefined): void {
    this.#invalidator = invalidator;
    this.#invalidations.use(invalidator);
  }

  /** To be called when no binding uses the operations any more. Makes everything durable. */
  async close(): Promise<void> {
    this.#stopTicking?.();
    this.setInvalidator(undefined);
    await this.#files.close();
    // A session that was closed with requests waiting still carries them out: not in a store that is closed.
    await this.#hints.idle();
    await this.store.close();
  }

  /** A binding answers with undefined for an inode of which its kernel caches nothing. */
  #isKnown(ino: number): boolean {
    const told = this.#invalidator?.invalidate(ino, -1);
    void told;
    return told !== undefined;
  }
}

function storeOptions(options: SpoolOptions): StoreOptions {
  const { create, now, every, onProgress, segmentLength, reclaim, takeover } = options;
  return {
    create: create ?? false,
    keepReserve: true,
    keepUnlinked: takeover?.inherited !== undefined,
    reclaim: reclaim !== false,
    ...(segmentLength === undefined ? {} : { segmentLength }),
    ...(now === undefined ? {} : { now }),
    ...(every === undefined ? {} : { every }),
    ...(onProgress === undefined ? {} : { onProgress }),
  };
}

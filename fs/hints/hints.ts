/**
 * Requests to the file system that no POSIX call can express (docs/HINTS.md). Two carriers, one set of
 * operations: each open of the control file is a session; ioctl(2) on any other file makes one for as
 * long as that file is open.
 */
import type { Time } from "../attributes.ts";
import type { Caller } from "../caller.ts";
import type { Deliveries } from "../delivery/deliveries.ts";
import type { Invalidations } from "../delivery/invalidations.ts";
import type { LockTable } from "../locks/table.ts";
import type { Store } from "../store/store.ts";
import type { InheritedSession } from "../takeover/inherited.ts";
import type { TakeoverJournal } from "../takeover/journal.ts";
import { Budget } from "./budget.ts";
import type { HintsContext } from "./context.ts";
import type { Opener } from "./credentials.ts";
import { openerOf } from "./credentials.ts";
import type { DeliverAccount } from "./deliver-account.ts";
import {
  REQUEST_BYTES_MAX,
  REQUEST_BYTES_PER_USER_MAX,
  UNLINKED_BYTES_MAX,
  UNLINKED_BYTES_OF_DELIVER_ACCOUNT_MAX,
  UNLINKED_BYTES_PER_USER_MAX,
} from "./limits.ts";
import { HintSession } from "./session.ts";

export interface HintsOptions {
  readonly store: Store;
  readonly locks: LockTable;
  readonly deliveries: Deliveries;
  readonly invalidations: Invalidations;
  readonly now: () => Time;
  readonly deliverAccount?: DeliverAccount | undefined;
  readonly journal?: TakeoverJournal | undefined;
  /** For tests. */
  readonly openerOf?: (caller: Caller) => Opener;
}

export class Hints {
  readonly #context: HintsContext;
  readonly #openerOf: (caller: Caller) => Opener;
  readonly #journal: TakeoverJournal | undefined;
  readonly #sessions = new Set<HintSession>();
  readonly #requestBytes = new Budget(REQUEST_BYTES_PER_USER_MAX, REQUEST_BYTES_MAX);
  readonly #unlinkedBytes: Budget;

  constructor(options: HintsOptions) {
    const { store, locks, deliveries, invalidations, now, deliverAccount } = options;
    this.#context = { store, locks, deliveries, invalidations, now, deliverAccount };
    this.#openerOf = options.openerOf ?? openerOf;
    this.#journal = options.journal;
    const account = deliverAccount && {
      uid: deliverAccount.uid,
      max: UNLINKED_BYTES_OF_DELIVER_ACCOUNT_MAX,
    };
    this.#unlinkedBytes = new Budget(UNLINKED_BYTES_PER_USER_MAX, UNLINKED_BYTES_MAX, account);
  }

  /** A session with the rights that the caller has now. To be called while the caller waits. */
  open(caller: Caller, handle = 0): HintSession {
    const opener = this.#openerOf(caller);
    this.#journal?.sessions.opened(handle, opener);
    return this.#add(opener, handle, undefined);
  }

  /** One that an earlier process had; its requests that have no reply yet are carried out. */
  restore(inherited: InheritedSession): HintSession {
    return this.#add(inherited.opener, inherited.handle, inherited);
  }

  #add(opener: Opener, handle: number, inherited: InheritedSession | undefined): HintSession {
    const session = new HintSession({
      context: this.#context,
      opener,
      handle,
      inherited,
      journal: this.#journal,
      requestBytes: this.#requestBytes,
      unlinkedBytes: this.#unlinkedBytes,
      onClosed: (closed) => this.#sessions.delete(closed),
    });
    this.#sessions.add(session);
    return session;
  }

  /** The sessions of an earlier process have their units again. Returns all that they can name. */
  takeUnits(): number[] {
    const named: number[] = [];
    for (const session of this.#sessions) {
      session.takeUnits();
      named.push(...session.units.unitIds());
    }
    return named;
  }

  /** They go on. */
  resume(): void {
    for (const session of this.#sessions) session.resume();
  }

  /** Resolves when the requests of all sessions that are open now are carried out; closed ones are among them. */
  async idle(): Promise<void> {
    await Promise.all([...this.#sessions].map(({ idle }) => idle));
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** Bytes of requests not answered, and of units not linked, of all sessions. */
  get held(): { readonly requestBytes: number; readonly unlinkedBytes: number } {
    return { requestBytes: this.#requestBytes.total, unlinkedBytes: this.#unlinkedBytes.total };
  }

  /** Every few seconds: units that nobody has linked for too long are forgotten. */
  tick(): void {
    const now = this.#context.now().sec;
    for (const session of this.#sessions) session.expire(now);
  }
}

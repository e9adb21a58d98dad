/** What the operations of the hints share, and what one request brings. */
import type { Time } from "../attributes.ts";
import type { Deliveries } from "../delivery/deliveries.ts";
import type { Invalidations } from "../delivery/invalidations.ts";
import type { LockTable } from "../locks/table.ts";
import type { Store } from "../store/store.ts";
import type { Opener } from "./credentials.ts";
import type { DeliverAccount } from "./deliver-account.ts";
import type { SessionUnits } from "./session-units.ts";

export interface HintsContext {
  readonly store: Store;
  readonly locks: LockTable;
  readonly deliveries: Deliveries;
  readonly invalidations: Invalidations;
  readonly now: () => Time;
  readonly deliverAccount: DeliverAccount | undefined;
}

/** The side of a session that operations see. */
export interface Requester {
  /** Runs what commits, up to its first await. `value`: what a successor needs to answer it, an offset or a size. */
  readonly commits: <T>(commit: () => T, value?: number) => T;
  readonly opener: Opener;
  readonly units: SessionUnits;
}

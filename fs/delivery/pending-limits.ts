/** How much may pend: beyond it deliveries are refused. All of it is in memory. */
import type { Waiting, WaitingNames } from "./waiting.ts";

/** Deliveries that may pend on one name, and names that may have some. */
export const PENDING_PER_NAME_MAX = 10_000;
export const PENDING_NAMES_MAX = 262_144;
/** Deliveries that may pend on all names together, and their extents. */
export const PENDING_DELIVERIES_MAX = 1_000_000;
export const PENDING_EXTENTS_MAX = 4_000_000;

export interface PendingLimits {
  readonly perName: number;
  readonly names: number;
  readonly deliveries: number;
  readonly extents: number;
}

export const pendingLimits: PendingLimits = {
  perName: PENDING_PER_NAME_MAX,
  names: PENDING_NAMES_MAX,
  deliveries: PENDING_DELIVERIES_MAX,
  extents: PENDING_EXTENTS_MAX,
};

/** What one request adds to what pends, counted before any of it is added. It names each mailbox once. */
export class PendingRoom {
  readonly #limits: PendingLimits;
  #names: number;
  #deliveries: number;
  #extents: number;

  constructor(limits: PendingLimits, all: WaitingNames) {
    this.#limits = limits;
    this.#names = all.size;
    this.#deliveries = all.deliveryCount;
    this.#extents = all.extentCount;
  }

  /** One more delivery, to a name that waits or (undefined) to another one. False when there is no room. */
  take(waiting: Waiting | undefined, extentCount: number): boolean {
    if (waiting === undefined) this.#names++;
    this.#deliveries++;
    this.#extents += extentCount;
    return (
      (waiting?.deliveries.length ?? 0) < this.#limits.perName &&
      this.#names <= this.#limits.names &&
      this.#deliveries <= this.#limits.deliveries &&
      this.#extents <= this.#limits.extents
    );
  }
}

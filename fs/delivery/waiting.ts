/**
 * The names that have pending deliveries, and what each waits for. In memory only: what is pending is in
 * the store, this is how to find it when a lock goes.
 *
 * Invariants:
 * - a name is here exactly as long as the store has pending deliveries of it; `deliveries` are these;
 * - a name whose `ino` is not 0 is in that inode's set, and in no other.
 */
import { assert } from "../../base/assert.ts";
import type { Time } from "../attributes.ts";
import type { PendingDelivery } from "../store/state/pending.ts";

export interface Waiting {
  readonly parent: number;
  readonly name: string;
  /** In the order of their arrival. */
  readonly deliveries: PendingDelivery[];
  /** The inode whose lock is in the way; 0: something else is (a dotlock, a full disk). */
  ino: number;
}

export class WaitingNames {
  readonly #directories = new Map<number, Map<string, Waiting>>();
  readonly #inodes = new Map<number, Set<Waiting>>();
  #size = 0;
  #deliveryCount = 0;
  #extentCount = 0;

  /** Names. */
  get size(): number {
    return this.#size;
  }

  get deliveryCount(): number {
    return this.#deliveryCount;
  }

  /** Extents of all deliveries. */
  get extentCount(): number {
    return this.#extentCount;
  }

  /** When the delivery that has waited longest came; undefined when none waits. */
  get oldest(): Time | undefined {
    let oldest: Time | undefined;
    for (const names of this.#directories.values()) {
      for (const { deliveries } of names.values()) {
        const time = deliveries[0]?.time;
        if (oldest === undefined || (time !== undefined && time.sec < oldest.sec)) oldest = time;
      }
    }
    return oldest;
  }

  get(parent: number, name: string): Waiting | undefined {
    return this.#directories.get(parent)?.get(name);
  }

  /** Whether a directory has such a name. */
  hasIn(parent: number): boolean {
    return this.#directories.has(parent);
  }

  /** One more delivery, behind the others of its name. */
  add(delivery: PendingDelivery): Waiting {
    const { parent, name } = delivery;
    let names = this.#directories.get(parent);
    if (names === undefined) {
      names = new Map();
      this.#directories.set(parent, names);
    }
    let waiting = names.get(name);
    if (waiting === undefined) {
      waiting = { parent, name, deliveries: [], ino: 0 };
      names.set(name, waiting);
      this.#size++;
    }
    const last = waiting.deliveries.at(-1);
    assert(last === undefined || last.id < delivery.id, "each pends once, behind the earlier ones");
    waiting.deliveries.push(delivery);
    this.#deliveryCount++;
    this.#extentCount += delivery.extents.length;
    return waiting;
  }

  /** The first `count` of its deliveries are done. */
  done(waiting: Waiting, count: number): void {
    assert(count <= waiting.deliveries.length, "no more deliveries are done than were pending");
    for (const { extents } of waiting.deliveries.splice(0, count)) {
      this.#deliveryCount--;
      this.#extentCount -= extents.length;
    }
    if (waiting.deliveries.length > 0) return;
    this.waitFor(waiting, 0);
    const names = this.#directories.get(waiting.parent);
    assert(names !== undefined && names.delete(waiting.name), "a name that waits is known");
    if (names.size === 0) this.#directories.delete(waiting.parent);
    this.#size--;
  }

  waitFor(waiting: Waiting, ino: number): void {
    if (waiting.ino === ino) return;
    const before = this.#inodes.get(waiting.ino);
    if (before?.delete(waiting) && before.size === 0) this.#inodes.delete(waiting.ino);
    waiting.ino = ino;
    if (ino === 0) return;
    const after = this.#inodes.get(ino);
    if (after === undefined) this.#inodes.set(ino, new Set([waiting]));
    else after.add(waiting);
  }

  /** Those that wait for a lock on the inode; a copy. */
  waitingFor(ino: number): readonly Waiting[] {
    const set = this.#inodes.get(ino);
    return set === undefined ? [] : [...set];
  }

  /** A copy. */
  all(): Waiting[] {
    return [...this.#directories.values()].flatMap((names) => [...names.values()]);
  }

  check(): void {
    let size = 0;
    let deliveryCount = 0;
    let extentCount = 0;
    for (const [parent, names] of this.#directories) {
      assert(names.size > 0, "a directory without such names is not here");
      size += names.size;
      for (const [name, waiting] of names) {
        assert(waiting.parent === parent && waiting.name === name, "a name is under its key");
        assert(waiting.deliveries.length > 0, "a name has deliveries");
        deliveryCount += waiting.deliveries.length;
        for (const { extents } of waiting.deliveries) extentCount += extents.length;
        if (waiting.ino === 0) continue;
        assert(this.#inodes.get(waiting.ino)?.has(waiting), "a name is found by its inode");
      }
    }
    for (const [ino, set] of this.#inodes) {
      for (const waiting of set) {
        assert(waiting.ino === ino, "an inode's set holds only names that wait for it");
        assert(this.get(waiting.parent, waiting.name) === waiting, "and that are known");
      }
    }
    assert(size === this.#size, "the names are counted");
    assert(deliveryCount === this.#deliveryCount, "the deliveries are counted");
    assert(extentCount === this.#extentCount, "the extents are counted");
  }
}

/**
 * Requests that wait, and the INTERRUPTs that are meant for them.
 *
 * With several readers of a device an INTERRUPT can overtake its request. It is remembered then; the number
 * of a request that was already answered lands here too, and is never used again.
 */
import type { Waiting } from "./outcome.ts";

const earlyMax = 64;

export class Interrupts {
  readonly #waiting = new Map<number, Waiting>();
  readonly #early = new Set<number>();

  /**
   * The request waits from now on. The number is its unique as a plain number: the kernel counts them up from 0,
   * so 53 bits are enough. The bit of one that was sent again is not in it.
   */
  add(unique: number, waiting: Waiting): void {
    this.#waiting.set(unique, waiting);
    if (this.#early.delete(unique)) waiting.interrupt?.();
  }

  /** The request's outcome is there. */
  remove(unique: number): void {
    this.#waiting.delete(unique);
  }

  interrupt(unique: number): void {
    const waiting = this.#waiting.get(unique);
    if (waiting !== undefined) {
      waiting.interrupt?.();
      return;
    }
    this.#early.add(unique);
    if (this.#early.size <= earlyMax) return;
    const [oldest] = this.#early;
    if (oldest !== undefined) this.#early.delete(oldest);
  }

  /** The connection is gone: nobody waits any more for what has not been decided yet. */
  interruptAll(): void {
    for (const waiting of this.#waiting.values()) waiting.interrupt?.();
  }

  /** Numbers of the requests that wait. */
  get waiting(): Iterable<number> {
    return this.#waiting.keys();
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }
}

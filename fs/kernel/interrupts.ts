/**
 * Requests that wait, and the INTERRUPTs that are meant for them.
 *
 * With several readers of a device an INTERRUPT can overtake its request. It is remembered then; the number
 * of a request that was already answered lands here too, and is never used again.
 */
import type { Waiting } from "./outcome.ts";

const earlyMax = 64;

interface Entry {
  readonly waiting: Waiting;
  readonly answerInterrupted: () => void;
}

export class Interrupts {
  readonly #waiting = new Map<number, Entry>();
  readonly #early = new Set<number>();

  /**
   * The request waits from now on; `answerInterrupted` sends EINTR for it. The number is the request's unique as
   * a plain number: the kernel counts them up from 0, so 53 bits are enough.
   */
  add(unique: number, waiting: Waiting, answerInterrupted: () => void): void {
    this.#waiting.set(unique, { waiting, answerInterrupted });
    if (this.#early.delete(unique)) this.interrupt(unique);
  }

  /** The request's outcome is there. False when it was answered by an interrupt: the outcome is to be dropped. */
  remove(unique: number): boolean {
    return this.#waiting.delete(unique);
  }

  interrupt(unique: number): void {
    const entry = this.#waiting.get(unique);
    if (entry === undefined) {
      this.#early.add(unique);
      if (this.#early.size > earlyMax) {
        for (const oldest of this.#early) {
          this.#early.delete(oldest);
          break;
        }
      }
      return;
    }
    this.#interruptEntry(unique, entry);
  }

  /** The connection is gone: nobody waits any more for what has not been decided yet. */
  interruptAll(): void {
    for (const [unique, entry] of this.#waiting) this.#interruptEntry(unique, entry);
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }

  #interruptEntry(unique: number, { waiting, answerInterrupted }: Entry): void {
    if (waiting.onInterrupt === "finish") return;
    if (waiting.onInterrupt === "answer") {
      this.#waiting.delete(unique);
      answerInterrupted();
      return;
    }
    waiting.onInterrupt();
  }
}

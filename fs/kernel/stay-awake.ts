/**
 * Keeps the event loop turning for a moment after a request, while a program sends one after the other.
 *
 * A program that waits for each reply before it asks again (Dovecot, as it writes flags) finds the spool asleep each
 * time, and on an idle or a virtual machine waking costs more than the request. So once requests have followed each
 * other closely for a while, the loop polls instead of sleeping, up to `pollUs` behind each. One that did
 * not come within that time ends it. Measurement: docs/decisions/018-staying-awake.md.
 */

import { availableParallelism } from "node:os";

/** The longest time the loop turns for nothing. */
const pollUs = 200;
/** A gap from a reply to the next request that counts as close: sleeping and waking are in it. */
const closeUs = 400;
/** Close requests in a row before polling begins. */
const rowMin = 16;

/** What a test replaces. */
export interface EventLoop {
  /** Microseconds from an arbitrary start. */
  now(): number;
  /** Calls back in the next turn, which comes without sleep. */
  nextTurn(callback: () => void): void;
  /** With one processor, turning would keep it from the program that is to ask. */
  readonly processors: number;
}

const systemLoop: EventLoop = {
  now: () => performance.now() * 1000,
  nextTurn: setImmediate,
  processors: availableParallelism(),
};

export class StayAwake {
  readonly #loop: EventLoop;
  /** Requests in a row that came soon behind the one before. */
  #row = 0;
  #handledAtUs = -Infinity;
  #turning = false;

  constructor(loop: EventLoop = systemLoop) {
    this.#loop = loop;
  }

  /** A request was read. */
  arrived(): void {
    const isClose = this.#loop.now() - this.#handledAtUs <= closeUs;
    this.#row = isClose ? this.#row + 1 : 0;
  }

  /** Its handler returned, with or without a reply. */
  handled(): void {
    this.#handledAtUs = this.#loop.now();
    if (this.#turning || this.#row < rowMin || this.#loop.processors < 2) return;
    this.#turning = true;
    this.#loop.nextTurn(this.#turn);
  }

  readonly #turn = (): void => {
    if (this.#row >= rowMin && this.#loop.now() - this.#handledAtUs < pollUs) {
      this.#loop.nextTurn(this.#turn);
      return;
    }
    this.#turning = false;
    this.#row = 0;
  };
}

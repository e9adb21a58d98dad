/**
 * How much of something all users together and each of them may hold. Root counts among all but has
 * no limit of its own: a mail system that runs as root is one user with the work of everybody.
 */
import { assert } from "../../base/assert.ts";

/** A user with a limit of his own. */
export interface BudgetException {
  readonly uid: number;
  readonly max: number;
}

export class Budget {
  readonly #perUserMax: number;
  readonly #exception: BudgetException | undefined;
  readonly #totalMax: number;
  readonly #users = new Map<number, number>();
  #total = 0;

  constructor(perUserMax: number, totalMax: number, exception?: BudgetException) {
    this.#perUserMax = perUserMax;
    this.#exception = exception;
    this.#totalMax = totalMax;
  }

  get total(): number {
    return this.#total;
  }

  /** Which limit stands in the way of `count` more, if one does; else they are taken. */
  take(uid: number, count: number): "user" | "total" | undefined {
    const held = this.#users.get(uid) ?? 0;
    const max = uid === this.#exception?.uid ? this.#exception.max : this.#perUserMax;
    if (uid !== 0 && held + count > max) return "user";
    if (this.#total + count > this.#totalMax) return "total";
    this.takeAnyway(uid, count);
    return undefined;
  }

  /** What was accepted already, by an earlier process. */
  takeAnyway(uid: number, count: number): void {
    this.#users.set(uid, (this.#users.get(uid) ?? 0) + count);
    this.#total += count;
  }

  give(uid: number, count: number): void {
    const left = (this.#users.get(uid) ?? 0) - count;
    assert(left >= 0, "nobody gives back more than was taken");
    if (left === 0) this.#users.delete(uid);
    else this.#users.set(uid, left);
    this.#total -= count;
  }
}

/**
 * The units that a session has written and may still name. A token is a number of the session's own, not
 * the store's: it tells nothing about what others write, and means nothing to them.
 *
 * Units of the store of which no file got a byte are dropped when they are told to, when the session ends, or
 * ten minutes after its last write; until then they are charged. A unit of which a file got bytes belongs to it; the token stays
 * good as long as anything refers to them.
 */
import type { Extent } from "../store/records/change.ts";
import { UNIT_LENGTH_MAX } from "../store/records/format.ts";
import type { Store } from "../store/store.ts";
import type { InheritedSession } from "../takeover/inherited.ts";
import type { Token } from "../takeover/noted-session.ts";
import type { Budget } from "./budget.ts";
import {
  TOKENS_PER_SESSION_MAX,
  UNLINKED_BYTES_PER_SESSION_MAX,
  UNLINKED_BYTES_PER_UNIT_MIN,
  UNLINKED_SECONDS_MAX,
} from "./limits.ts";
import type { Reason } from "./refusals.ts";

interface Written {
  readonly ids: readonly number[];
  readonly length: number;
  /** What is charged for each unit of the store that was not linked when it was last looked at. */
  readonly charges: Map<number, number>;
}

export class SessionUnits {
  readonly #store: Store;
  readonly #budget: Budget;
  readonly #uid: number;
  /** In order of writing. */
  readonly #tokens = new Map<string, Written>();
  #lastToken = 0;
  #unlinkedBytes = 0;
  /** Of the last write, in seconds since 1970. */
  #writtenSec = 0;

  constructor(store: Store, budget: Budget, uid: number) {
    this.#store = store;
    this.#budget = budget;
    this.#uid = uid;
  }

  /** The number of the last token, and what a successor has to know of these. */
  noted(tokens: readonly string[]): { readonly last: number; readonly list: Token[] } {
    const list = tokens.map((token): Token => {
      const { ids = [], length = 0 } = this.#tokens.get(token) ?? {};
      return [token, ids, length];
    });
    return { last: this.#lastToken, list };
  }

  /** Those that the session had in an earlier process; some may be gone since. */
  restore({ tokens, lastToken }: InheritedSession, nowSec: number): void {
    this.#lastToken = lastToken;
    this.#writtenSec = nowSec;
    for (const [token, { ids, length }] of tokens) {
      const charges = new Map<number, number>();
      for (const id of ids) {
        const unit = this.#store.hasUnit(id);
        if (unit !== undefined && this.#isUnlinked(id)) charges.set(id, chargeOf(unit.length));
      }
      let charge = 0;
      for (const one of charges.values()) charge += one;
      // What was within the limits is so again: all of it comes back before anything else is taken.
      this.#budget.take(this.#uid, charge);
      this.#unlinkedBytes += charge;
      this.#tokens.set(token, { ids, length, charges });
    }
  }

  /** Every unit that has a token. */
  *unitIds(): Generator<number> {
    for (const { ids } of this.#tokens.values()) yield* ids;
  }

  /** Throws StoreError; then nothing is held. */
  write(body: Buffer, lengths: readonly number[], nowSec: number): readonly string[] | Reason {
    if (this.#tokens.size + lengths.length > TOKENS_PER_SESSION_MAX) return "tooManyTokens";
    const charge = lengths.reduce((sum, length) => sum + chargeOf(length), 0);
    if (this.#unlinkedBytes + charge > UNLINKED_BYTES_PER_SESSION_MAX) {
      return "unlinkedOfSession";
    }
    const full = this.charge(charge);
    if (full !== undefined) return full;
    this.#unlinkedBytes += charge;
    this.#writtenSec = nowSec;

    const all: Written[] = [];
    let at = 0;
    let written = false;
    try {
      for (const length of lengths) {
        const ids: number[] = [];
        const charges = new Map<number, number>();
        all.push({ ids, length, charges });
        for (let from = 0; from < length; from += UNIT_LENGTH_MAX) {
          const bytes = body.subarray(at + from, at + Math.min(length, from + UNIT_LENGTH_MAX));
          const id = this.#store.writeUnit([bytes]);
          ids.push(id);
          charges.set(id, chargeOf(bytes.length));
        }
        at += length;
      }
      this.#store.flush();
      written = true;
    } finally {
      if (!written) {
        for (const { ids } of all) for (const id of ids) this.#store.dropUnit(id);
        this.#giveBack(charge);
      }
    }
    return all.map((one) => {
      const token = tokenOf(++this.#lastToken);
      this.#tokens.set(token, one);
      return token;
    });
  }

  /** Adds the extents of a range to `extents`; `length` undefined: to the end. */
  addExtents(
    token: string,
    offset: number,
    length: number | undefined,
    extents: Extent[],
  ): Reason | undefined {
    const written = this.#tokens.get(token);
    if (written === undefined) return "unknownUnit";
    const end = length === undefined ? written.length : offset + length;
    if (offset >= end || end > written.length) return "unitRange";
    for (let at = offset; at < end;) {
      const inUnit = at % UNIT_LENGTH_MAX;
      const unit = written.ids[(at - inUnit) / UNIT_LENGTH_MAX] as number;
      const piece = Math.min(UNIT_LENGTH_MAX - inUnit, end - at);
      if (this.#store.hasUnit(unit, inUnit, piece) === undefined) return "unitGone";
      extents.push({ unit, offset: inUnit, length: piece });
      at += piece;
    }
    return undefined;
  }

  /** For bytes that are written for a delivery under way, and not by tokens. */
  charge(bytes: number): Reason | undefined {
    const full = this.#budget.take(this.#uid, bytes);
    if (full === undefined) return undefined;
    return full === "user" ? "unlinkedOfUser" : "unlinkedOfAll";
  }

  /** They are linked, or dropped. */
  discharge(bytes: number): void {
    this.#budget.give(this.#uid, bytes);
  }

  /** A file has got bytes of it now. */
  linked(token: string): void {
    const written = this.#tokens.get(token);
    if (written === undefined) return;
    for (const [id, charge] of written.charges) {
      if (this.#isUnlinked(id)) continue;
      written.charges.delete(id);
      this.#giveBack(charge);
    }
  }

  forget(token: string): boolean {
    const written = this.#tokens.get(token);
    if (written === undefined) return false;
    this.#tokens.delete(token);
    this.#dropUnlinked(written);
    return true;
  }

  has(token: string): boolean {
    return this.#tokens.has(token);
  }

  /** Forgets what is unlinked when nothing was written for too long: a message that comes slowly stays whole. */
  expire(nowSec: number): void {
    if (nowSec - this.#writtenSec < UNLINKED_SECONDS_MAX) return;
    for (const [token, written] of this.#tokens) {
      if (written.charges.size === written.ids.length) this.forget(token);
      else this.#dropUnlinked(written);
    }
  }

  close(): void {
    for (const token of this.#tokens.keys()) this.forget(token);
  }

  /** One that was linked and is not any more is gone. */
  #isUnlinked(id: number): boolean {
    const runs = this.#store.unitReferences(id);
    return runs !== undefined && !runs.some((count, k) => k % 2 === 1 && count > 0);
  }

  /** A unit that is linked all the same, by a delivery that was told to have failed, stays where it is. */
  #dropUnlinked({ charges }: Written): void {
    for (const [id, charge] of charges) {
      this.#store.dropUnit(id);
      this.#giveBack(charge);
    }
    charges.clear();
  }

  #giveBack(bytes: number): void {
    this.#unlinkedBytes -= bytes;
    this.#budget.give(this.#uid, bytes);
  }
}

/** The tokens of a session are numbered from 1 on. */
export function tokenOf(number: number): string {
  return number.toString(36);
}

/** For `length` bytes in units of the store, of which only the last may be short. */
function chargeOf(length: number): number {
  const rest = length % UNIT_LENGTH_MAX;
  return length - rest + (rest === 0 ? 0 : Math.max(rest, UNLINKED_BYTES_PER_UNIT_MIN));
}

/**
 * The units that a session has written and may still name. A token is a number of the session's own, not
 * the store's: it tells nothing about what others write, and means nothing to them.
 *
 * Bytes that no file got are dropped when they are told to, when the session ends, or after ten minutes.
 * Bytes that a file got belong to it; the token stays good as long as anything refers to them.
 */
import type { Extent } from "../store/change.ts";
import { UNIT_LENGTH_MAX } from "../store/format.ts";
import type { Store } from "../store/store.ts";
import type { Budget } from "./budget.ts";
import {
  TOKENS_PER_SESSION_MAX,
  UNLINKED_BYTES_PER_SESSION_MAX,
  UNLINKED_SECONDS_MAX,
} from "./limits.ts";
import type { Reason } from "./refusals.ts";

interface Written {
  readonly ids: readonly number[];
  readonly length: number;
  /** Seconds since 1970. */
  readonly writtenSec: number;
  linked: boolean;
}

export class SessionUnits {
  readonly #store: Store;
  readonly #budget: Budget;
  readonly #uid: number;
  /** In order of writing. */
  readonly #tokens = new Map<string, Written>();
  #lastToken = 0;
  #unlinkedBytes = 0;

  constructor(store: Store, budget: Budget, uid: number) {
    this.#store = store;
    this.#budget = budget;
    this.#uid = uid;
  }

  /** Throws StoreError; then nothing is held. */
  write(body: Buffer, lengths: readonly number[], nowSec: number): readonly string[] | Reason {
    if (this.#tokens.size + lengths.length > TOKENS_PER_SESSION_MAX) return "tooManyTokens";
    if (this.#unlinkedBytes + body.length > UNLINKED_BYTES_PER_SESSION_MAX) {
      return "unlinkedOfSession";
    }
    const full = this.#budget.take(this.#uid, body.length);
    if (full !== undefined) return full === "user" ? "unlinkedOfUser" : "unlinkedOfAll";
    this.#unlinkedBytes += body.length;

    const all: Written[] = [];
    let at = 0;
    let left = body.length;
    try {
      for (const length of lengths) {
        const ids: number[] = [];
        all.push({ ids, length, writtenSec: nowSec, linked: false });
        for (let from = 0; from < length; from += UNIT_LENGTH_MAX) {
          const bytes = body.subarray(at + from, at + Math.min(length, from + UNIT_LENGTH_MAX));
          ids.push(this.#store.writeUnit([bytes]));
        }
        at += length;
      }
      this.#store.flush();
      left = 0;
    } finally {
      if (left > 0) {
        for (const { ids } of all) for (const id of ids) this.#store.dropUnit(id);
        this.#giveBack(body.length);
      }
    }
    return all.map((written) => {
      const token = (++this.#lastToken).toString(36);
      this.#tokens.set(token, written);
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
      if (this.#store.hasUnit(unit) === undefined) return "unitGone";
      const piece = Math.min(UNIT_LENGTH_MAX - inUnit, end - at);
      extents.push({ unit, offset: inUnit, length: piece });
      at += piece;
    }
    return undefined;
  }

  /** A file has got bytes of it now. */
  linked(token: string): void {
    const written = this.#tokens.get(token);
    if (written === undefined || written.linked) return;
    written.linked = true;
    this.#giveBack(written.length);
  }

  forget(token: string): boolean {
    const written = this.#tokens.get(token);
    if (written === undefined) return false;
    this.#tokens.delete(token);
    // Parts of a linked unit may never have got into a file; dropUnit leaves alone what is referenced.
    for (const id of written.ids) this.#store.dropUnit(id);
    if (!written.linked) this.#giveBack(written.length);
    return true;
  }

  has(token: string): boolean {
    return this.#tokens.has(token);
  }

  /** Forgets what has been unlinked for too long. */
  expire(nowSec: number): void {
    for (const [token, written] of this.#tokens) {
      if (nowSec - written.writtenSec < UNLINKED_SECONDS_MAX) return;
      if (!written.linked) this.forget(token);
    }
  }

  close(): void {
    for (const token of this.#tokens.keys()) this.forget(token);
  }

  #giveBack(bytes: number): void {
    this.#unlinkedBytes -= bytes;
    this.#budget.give(this.#uid, bytes);
  }
}

/**
 * Says in the log when the store takes no mail and when it does again: once for each, not for every message that is
 * refused meanwhile (their own lines have the reason).
 */
import type { Log } from "../log/log.ts";
import type { Reason } from "../smtp/replies.ts";

const TROUBLES: Readonly<Partial<Record<Reason, string>>> = {
  storeFull: "the store has no room: mail is put off with 452 until there is",
  storeFailed: "the store cannot write: mail is put off with 451 until it can",
};

export class StoreWatch {
  readonly #log: Log;
  #trouble: Reason | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /** How a message was answered; `detail` is what the store said of its trouble. */
  answered(result: "stored" | Reason, detail: string | undefined): void {
    if (result === "stored") {
      if (this.#trouble !== undefined) this.#log.info("the store takes mail again");
      this.#trouble = undefined;
      return;
    }
    const text = TROUBLES[result];
    if (text === undefined || result === this.#trouble) return;
    this.#trouble = result;
    this.#log.error(text, { detail });
  }
}

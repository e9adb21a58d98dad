/** Names of sessions: unlike those of every other process and start, short, and safe in a header field. */
import { randomBytes } from "node:crypto";

const PREFIX_BYTES = 5;

export class SessionIds {
  readonly #prefix = randomBytes(PREFIX_BYTES).toString("hex");
  #count = 0;

  next(): string {
    return `${this.#prefix}${(this.#count++).toString(36)}`;
  }
}

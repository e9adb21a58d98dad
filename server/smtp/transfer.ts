/** The content of one message on its way from the client to its sink, and the answer on its way back. */
import type { Limits } from "../config/config.ts";
import { DataReader } from "./data-reader.ts";
import type { MessageResult, MessageSink } from "./message-sink.ts";
import type { DataDone, Protocol } from "./protocol.ts";
import { replyError } from "./replies.ts";
import { isTooSlow } from "./session-limits.ts";

export interface Transferred {
  /** Bytes behind the end of the message. */
  readonly rest: Buffer | undefined;
  /** When the sink takes more. */
  readonly taken: Promise<void> | undefined;
  readonly isEnd: boolean;
}

export class Transfer {
  readonly #sink: MessageSink;
  readonly #done: DataDone;
  readonly #reader = new DataReader();
  readonly #since = Date.now();

  /** `done` makes smtp-server send the reply. */
  constructor(sink: MessageSink, done: DataDone) {
    this.#sink = sink;
    this.#done = done;
  }

  isTooSlow(now: number, limits: Limits): boolean {
    return isTooSlow(this.#reader.bytes, now - this.#since, limits);
  }

  take(bytes: Buffer): Transferred {
    const { content, consumed, isEnd } = this.#reader.read(bytes);
    return {
      rest: consumed < bytes.length ? bytes.subarray(consumed) : undefined,
      taken: content.length > 0 ? this.#sink.content(content, this.#reader) : undefined,
      isEnd,
    };
  }

  /** All has come: resolves with what is to be answered. */
  finish(): Promise<readonly MessageResult[]> {
    return this.#sink.end(this.#reader);
  }

  /** LMTP: one reply for each recipient. */
  answer(results: readonly MessageResult[], protocol: Protocol): void {
    const [first] = results;
    if (protocol === "lmtp") this.#done(null, results.map(replyOf));
    else if (first?.kind === "stored") this.#done(null, first.text);
    else this.#done(replyError(first?.reason ?? "internalError"));
  }

  abort(): void {
    this.#sink.abort();
  }
}

function replyOf(result: MessageResult): string | Error {
  return result.kind === "stored" ? result.text : replyError(result.reason);
}

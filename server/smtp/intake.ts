/**
 * The message that a session takes in: its content from the client to the sink, at a rate that is watched, and the
 * answer on its way back. One at a time.
 *
 * | state     | what happens                                    |
 * | --------- | ----------------------------------------------- |
 * | taking    | the client owes content                         |
 * | waiting   | the sink takes no more for now; nobody is slow  |
 * | answering | all has come; the message may be durable already |
 */
import type { Limits } from "../config/config.ts";
import { monotonicMs } from "../monotonic.ts";
import { DataReader } from "./data-reader.ts";
import type { MessageResult, MessageSink } from "./message-sink.ts";
import type { DataDone, Protocol } from "./protocol.ts";
import { RateWatch } from "./rate-watch.ts";
import { replyError } from "./replies.ts";

export interface Taken {
  /** Bytes behind the end of the message. */
  readonly rest: Buffer | undefined;
  /** What has to be waited for, if anything: with the end, the answer. */
  readonly settled: Promise<void> | undefined;
}

export class Intake {
  readonly #sink: MessageSink;
  readonly #done: DataDone;
  readonly #reader = new DataReader();
  readonly #rate = new RateWatch(monotonicMs());
  #state: "taking" | "waiting" | "answering" = "taking";
  #results: readonly MessageResult[] = [];

  /** `done` makes smtp-server send the reply. */
  constructor(sink: MessageSink, done: DataDone) {
    this.#sink = sink;
    this.#done = done;
  }

  /** A message that is being answered is left alone, whatever becomes of its client: it may be durable already. */
  get isAnswering(): boolean {
    return this.#state === "answering";
  }

  isTooSlow(now: number, limits: Limits): boolean {
    if (this.#state !== "taking") return false;
    return this.#rate.isTooSlow(this.#reader.bytes, now, limits.dataBytesPerSecondMin);
  }

  take(bytes: Buffer): Taken {
    const { content, consumed, isEnd } = this.#reader.read(bytes);
    const rest = consumed < bytes.length ? bytes.subarray(consumed) : undefined;
    const taken = content.length > 0 ? this.#sink.content(content, this.#reader) : undefined;
    if (isEnd) return { rest, settled: this.#finish(taken) };
    return { rest, settled: taken && this.#wait(taken) };
  }

  /** After the promise of the last `take`. LMTP: one reply for each recipient. */
  answer(protocol: Protocol): void {
    const [first] = this.#results;
    if (protocol === "lmtp") this.#done(null, this.#results.map(replyOf));
    else if (first?.kind === "stored") this.#done(null, first.text);
    else this.#done(replyError(first?.reason ?? "internalError"));
  }

  /** The rest will not come. */
  abort(): void {
    if (!this.isAnswering) this.#sink.abort();
  }

  async #wait(taken: Promise<void>): Promise<void> {
    this.#state = "waiting";
    await taken;
    this.#state = "taking";
    this.#rate.restart(this.#reader.bytes, monotonicMs());
  }

  async #finish(taken: Promise<void> | undefined): Promise<void> {
    this.#state = "answering";
    await taken;
    this.#results = await this.#sink.end(this.#reader);
  }
}

function replyOf(result: MessageResult): string | Error {
  return result.kind === "stored" ? result.text : replyError(result.reason);
}

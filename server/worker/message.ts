/** One message in a worker: checked as it comes, delivered, answered and logged. */
import type { Config } from "../config/config.ts";
import type { Delivery, MessageDelivery } from "../delivery/delivery.ts";
import type { Outcome, Stored } from "../delivery/outcome.ts";
import type { Transaction } from "../delivery/transaction.ts";
import { FactsReader, type MessageFacts } from "../facts/facts.ts";
import { monotonicMs } from "../monotonic.ts";
import type { DataReader } from "../smtp/data-reader.ts";
import type { MessageResult, MessageSink } from "../smtp/message-sink.ts";
import type { Protocol } from "../smtp/protocol.ts";
import type { Reason } from "../smtp/replies.ts";

/** What is known of a message when it was answered. */
export interface MessageReport {
  readonly transaction: Transaction;
  readonly result: "stored" | Reason;
  /** As received. */
  readonly bytes: number;
  readonly stored: Stored | undefined;
  /** Recipients that have it. */
  readonly recipientsStored: number;
  /** From DATA to the answer. */
  readonly ms: number;
  /** Why it was refused, for the log. */
  readonly detail: string | undefined;
  readonly facts: MessageFacts;
}

export class WorkerMessage implements MessageSink {
  readonly #config: Config;
  readonly #protocol: Protocol;
  readonly #transaction: Transaction;
  readonly #delivery: MessageDelivery;
  readonly #facts = new FactsReader();
  readonly #ended: (report: MessageReport | undefined) => void;
  readonly #since = monotonicMs();
  #refusal: Reason | undefined;

  /** `ended` is called once: with what was answered, or without anything for a message that was not. */
  constructor(
    config: Config,
    delivery: Delivery,
    protocol: Protocol,
    transaction: Transaction,
    ended: (report: MessageReport | undefined) => void,
  ) {
    this.#config = config;
    this.#protocol = protocol;
    this.#transaction = transaction;
    this.#delivery = delivery.begin(transaction);
    this.#ended = ended;
  }

  content(chunk: Buffer, read: DataReader): Promise<void> | undefined {
    this.#check(read);
    if (this.#refusal !== undefined) return undefined;
    const facts = this.#facts.write(chunk);
    const written = this.#delivery.write(chunk);
    if (facts === undefined) return written;
    return Promise.all([facts, written]).then(() => undefined);
  }

  async end(read: DataReader): Promise<readonly MessageResult[]> {
    this.#check(read);
    let outcomes: readonly (Outcome | RefusedHere)[];
    try {
      outcomes = await this.#finish();
    } catch (error) {
      this.#ended(undefined);
      throw error;
    }
    const ms = Math.round(monotonicMs() - this.#since);
    const [first] = outcomes;
    const stored = outcomes.find((outcome) => outcome.kind === "stored")?.stored;
    const refused = outcomes.find((outcome) => outcome.kind === "refused");
    const results = outcomes.map((outcome) => this.#result(outcome));
    void this.#facts.end().then((facts) => {
      this.#ended({
        transaction: this.#transaction,
        result: stored === undefined && first?.kind === "refused" ? first.reason : "stored",
        bytes: read.bytes,
        stored,
        recipientsStored: this.#recipientsStored(outcomes),
        ms,
        detail: refused?.detail,
        facts,
      });
    });
    return results;
  }

  abort(): void {
    if (this.#refusal === undefined) this.#delivery.abort();
    this.#refusal ??= "internalError";
    void this.#facts.end();
    this.#ended(undefined);
  }

  /** A message that is refused is read to its end and dropped: only then may it be answered. */
  #check(read: DataReader): void {
    if (this.#refusal !== undefined) return;
    const { limits, bareNewline } = this.#config;
    if (read.bytes > limits.messageBytesMax) this.#refusal = "messageTooLarge";
    else if (read.longestLineBytes > limits.lineBytesMax) this.#refusal = "lineTooLong";
    else if (bareNewline === "reject" && read.hasBareNewline) this.#refusal = "bareNewline";
    else return;
    this.#delivery.abort();
  }

  async #finish(): Promise<readonly (Outcome | RefusedHere)[]> {
    const { recipients } = this.#transaction;
    const reason = this.#refusal;
    if (reason !== undefined) {
      const refused: RefusedHere = { kind: "refused", reason, detail: undefined };
      return this.#protocol === "lmtp" ? recipients.map(() => refused) : [refused];
    }
    if (this.#protocol === "lmtp") return this.#delivery.finish({ each: true });
    return [await this.#delivery.finish()];
  }

  /** SMTP has one outcome for all. */
  #recipientsStored(outcomes: readonly (Outcome | RefusedHere)[]): number {
    const stored = outcomes.filter(({ kind }) => kind === "stored").length;
    return this.#protocol === "lmtp" ? stored : stored * this.#transaction.recipients.length;
  }

  #result(outcome: Outcome | RefusedHere): MessageResult {
    if (outcome.kind === "refused") return outcome;
    return { kind: "stored", text: `Stored as ${this.#transaction.id}` };
  }
}

/** Refused before the delivery was asked. */
interface RefusedHere {
  readonly kind: "refused";
  readonly reason: Reason;
  readonly detail: undefined;
}

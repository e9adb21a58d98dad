/**
 * One message on its way into its mailboxes.
 *
 * The content is taken in by content.ts; what fills a unit goes to the spool at once, and `write` then returns a
 * promise, so that never more than 256 KiB of a message are here. At the end one deliver request names header,
 * units and mailboxes: all of them get the message or none does, durable when it is answered.
 */
import { randomBytes } from "node:crypto";
import { assert } from "../../base/assert.ts";
import { HintError } from "../../fs/hints/client.ts";
import { COPIES_BYTES_MAX } from "../../fs/hints/limits.ts";
import type { HeaderLimits } from "../../fs/mbox/header.ts";
import type { ChannelLine, Channels } from "./channels.ts";
import type { ContentEnd } from "./content.ts";
import { Content, UNIT_BYTES } from "./content.ts";
import type { Outcome } from "./outcome.ts";
import { dateField, messageIdField, receivedField } from "./received.ts";
import type { Refused } from "./refusals.ts";
import { refusalOf, refused } from "./refusals.ts";
import { deliverRequest, writeLine } from "./request.ts";
import type { Target } from "./targets.ts";
import { targetsOf, targetsRequest } from "./targets.ts";
import type { AcceptedRecipient, Transaction } from "./transaction.ts";

/** Mailboxes that one refusal after the other may take out of one delivery. */
const FAILURES_MAX = 100;

const UNIT_LINE = writeLine(UNIT_BYTES);

export interface MessageOptions {
  readonly channels: Channels;
  readonly hostname: string;
  readonly share: "spam" | "multi" | "off";
  readonly limits: HeaderLimits;
}

export class MessageDelivery {
  readonly #options: MessageOptions;
  readonly #transaction: Transaction;
  readonly #content: Content;
  readonly #line: ChannelLine;
  readonly #units: string[] = [];
  #underWay: Promise<void> | undefined;
  #failure: Refused | undefined;
  #isEnded = false;
  #contentBytes = 0;
  /** Of the unit that is on its way to the spool. */
  #sentBytes = 0;

  constructor(options: MessageOptions, transaction: Transaction) {
    this.#options = options;
    this.#transaction = transaction;
    this.#line = options.channels.line();
    this.#content = new Content(options.limits, (has) => topFields(options, transaction, has));
  }

  /** Bytes that were given to `write`. */
  get contentBytes(): number {
    return this.#contentBytes;
  }

  /** Bytes of the message that are in this process, those of a request under way included. */
  get heldBytes(): number {
    return this.#content.heldBytes + this.#sentBytes;
  }

  /**
   * Content as it was received, dots removed, every line ended by one LF, cut anywhere. The buffer is kept. Wait for
   * the promise, if there is one, before the next. After a fault the content is dropped; finish() tells.
   */
  write(content: Buffer): Promise<void> | undefined {
    this.#contentBytes += content.length;
    if (this.#failure !== undefined) return undefined;
    assert(!this.#isEnded, "nothing is written behind the end");
    this.#content.take(content);
    const { fault } = this.#content;
    if (fault !== undefined) this.#fail(refused(fault, "in the message's header"));
    if (this.#underWay === undefined) {
      const unit = this.#content.unit(UNIT_LINE);
      if (unit !== undefined) this.#underWay = this.#storeUnits(unit);
    }
    return this.#underWay;
  }

  /** For all mailboxes together: all have the message, or none does. */
  finish(): Promise<Outcome>;
  /** For each recipient (LMTP): where single mailboxes are the cause of a refusal, the other recipients get theirs. */
  finish(options: { readonly each: true }): Promise<readonly Outcome[]>;
  async finish(options?: { readonly each: true }): Promise<Outcome | readonly Outcome[]> {
    assert(!this.#isEnded, "a message ends once");
    this.#isEnded = true;
    if (this.#underWay !== undefined) await this.#underWay;
    const { recipients } = this.#transaction;
    if (this.#failure === undefined) {
      const content = this.#content.end();
      if (typeof content !== "string") {
        const isEach = options?.each === true;
        try {
          return isEach ? await this.#deliverEach(content) : await this.#deliverAll(content);
        } finally {
          this.#line.end(this.#units.length === 0);
        }
      }
      this.#failure = refused(content, "in the message's header");
    }
    this.#line.end(false);
    const failure = this.#failure;
    return options?.each === true ? recipients.map(() => failure) : failure;
  }

  /** The message is not to be delivered after all. Nothing of it stays, and what is still written is dropped. */
  abort(): void {
    this.#isEnded = true;
    this.#failure ??= refused("storeFailed", "aborted");
    this.#line.end(false);
  }

  async #storeUnits(first: Buffer): Promise<void> {
    try {
      for (
        let unit: Buffer | undefined = first;
        unit !== undefined && this.#failure === undefined;
        unit = this.#content.unit(UNIT_LINE)
      ) {
        this.#sentBytes = unit.length;
        const reply = await this.#line.request(unit);
        const [token] = reply["units"] as readonly string[];
        assert(token !== undefined, "a unit that was written has a token");
        this.#units.push(token);
      }
    } catch (error) {
      this.#fail(refusalOf(error));
    }
    this.#sentBytes = 0;
    this.#underWay = undefined;
  }

  #fail(failure: Refused): void {
    this.#failure ??= failure;
    this.#line.end(false);
  }

  async #deliverAll(content: ContentEnd): Promise<Outcome> {
    const targets = targetsOf(this.#transaction.recipients);
    return this.#deliver(content, targets);
  }

  /** A recipient is refused when one of its mailboxes is; then none of those that only it has gets the message. */
  async #deliverEach(content: ContentEnd): Promise<readonly Outcome[]> {
    const { recipients } = this.#transaction;
    const outcomes: (Outcome | undefined)[] = recipients.map(() => undefined);
    for (let failures = 0; ; failures++) {
      const left = recipients.filter((_, index) => outcomes[index] === undefined);
      if (left.length === 0) break;
      const outcome = await this.#deliver(content, targetsOf(left));
      const mailbox = outcome.kind === "refused" ? outcome.mailbox : undefined;
      const isLast = mailbox === undefined || failures === FAILURES_MAX;
      let found = false;
      for (const [index, recipient] of recipients.entries()) {
        if (outcomes[index] !== undefined || (!isLast && !leadsTo(recipient, mailbox))) continue;
        outcomes[index] = outcome;
        found = true;
      }
      assert(found, "a refusal names a mailbox of the request");
    }
    return outcomes as Outcome[];
  }

  async #deliver(content: ContentEnd, all: readonly Target[]): Promise<Outcome> {
    let targets = all;
    for (let failures = 0; ; failures++) {
      const request = targetsRequest(targets, this.#transaction);
      const isLinked = this.#isLinked(targets.length, content.bytes);
      const bytes = deliverRequest(content, this.#units, request, isLinked);
      const started = performance.now();
      try {
        const reply = await this.#line.request(bytes);
        const mailboxes = targets.length;
        const logicalBytes = content.bytes * mailboxes + request.privateBytes;
        return {
          kind: "stored",
          stored: {
            mailboxes,
            pending: reply["pending"] as number,
            logicalBytes,
            storedBytes: isLinked ? content.bytes + request.privateBytes : logicalBytes,
            commitMs: performance.now() - started,
          },
        };
      } catch (error) {
        const twice = error instanceof HintError && error.reason === "fileNamedTwice";
        if (!twice || failures === FAILURES_MAX) return refusalOf(error);
        // Two paths lead to one file: it gets one copy.
        const path = error.path?.toString();
        targets = targets.filter(({ mailbox }) => mailbox.path !== path);
      }
    }
  }

  /** More copies than one request may make are linked all the same: how bytes lie must not bounce mail. */
  #isLinked(mailboxes: number, bytes: number): boolean {
    if (mailboxes === 1 || bytes * (mailboxes - 1) > COPIES_BYTES_MAX) return true;
    const { share } = this.#options;
    return share === "multi" || (share === "spam" && this.#transaction.isSpam);
  }
}

function leadsTo({ mailboxes }: AcceptedRecipient, path: string): boolean {
  return mailboxes.some((mailbox) => mailbox.path === path);
}

function topFields(
  { hostname }: MessageOptions,
  transaction: Transaction,
  has: { readonly messageId: boolean; readonly date: boolean },
): string {
  const { time } = transaction;
  let fields = receivedField(transaction, hostname);
  if (!has.messageId) {
    fields += messageIdField(hostname, time, randomBytes(10).toString("hex"));
  }
  if (!has.date) fields += dateField(time);
  // One character for each byte, as the rest of the header.
  return Buffer.from(fields, "utf8").toString("latin1");
}

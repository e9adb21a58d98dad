/**
 * One open of the control file: a conversation of requests and replies, and the rights of the one who
 * opened it.
 *
 * Requests are carried out one after the other in the order in which they came; each has one reply, and
 * replies are read in that order. A read gives bytes of one reply only.
 * A process that closes without reading has its requests carried out all the same.
 */
import type { Errno } from "../../base/errno.ts";
import { EBUSY, EINVAL, ENOMEM, ENOTTY, EOPNOTSUPP, EPERM, EPROTO } from "../../base/errno.ts";
import type { Caller } from "../caller.ts";
import type { IoctlReply } from "../operations.ts";
import type { Budget } from "./budget.ts";
import type { HintsContext, Requester } from "./context.ts";
import type { Opener } from "./credentials.ts";
import type { Frame } from "./frame.ts";
import { FrameReader, readWhole } from "./frame.ts";
import {
  decodeIoctl,
  encodeIoctl,
  fitsIoctl,
  HINT_COMMAND,
  IOCTL_BYTES_MAX,
  IOCTL_STRUCT_LENGTH,
} from "./ioctl.ts";
import { REQUESTS_WAITING_MAX } from "./limits.ts";
import { perform } from "./operations.ts";
import type { Refusal } from "./refusals.ts";
import { isRefusal } from "./refusals.ts";
import type { InheritedSession } from "../takeover/inherited.ts";
import type { Cause, TakeoverJournal } from "../takeover/journal.ts";
import { answerOf } from "./answer-of.ts";
import type { Answer } from "./reply.ts";
import { encodeAnswer, encodeRefusal } from "./reply.ts";
import { SessionUnits } from "./session-units.ts";

const NO_BYTES = Buffer.alloc(0);

export interface SessionOptions {
  readonly context: HintsContext;
  readonly opener: Opener;
  /** The open file. */
  readonly handle: number;
  readonly inherited: InheritedSession | undefined;
  readonly journal: TakeoverJournal | undefined;
  readonly requestBytes: Budget;
  readonly unlinkedBytes: Budget;
  readonly onClosed: (session: HintSession) => void;
}

interface Reader {
  readonly request: number;
  readonly lengthMax: number;
  readonly resolve: (bytes: Buffer | Errno) => void;
}

interface Reply {
  /** The number of its request, counted from the opening. */
  readonly index: number;
  readonly bytes: Buffer;
}

export class HintSession {
  readonly opener: Opener;
  readonly units: SessionUnits;
  readonly #context: HintsContext;
  readonly #requestBytes: Budget;
  readonly #onClosed: (session: HintSession) => void;
  readonly #frames = new FrameReader();
  /** Requests whose turn has not come. */
  readonly #waiting: (Frame | Refusal)[] = [];
  /** Replies that have not been read to their end. */
  readonly #replies: Reply[] = [];
  /** Reads that wait for a reply. */
  readonly #readers: Reader[] = [];
  /** Of the first reply. */
  #bytesRead = 0;
  #running = false;
  /** Resolves when no request is left; with the last one of a closed session the session ends. */
  #idle: Promise<void> = Promise.resolve();
  #closed = false;
  /** Bytes taken from the budget for a request that is not complete. */
  #heldBytes = 0;
  readonly #handle: number;
  readonly #journal: TakeoverJournal | undefined;
  readonly #inherited: InheritedSession | undefined;
  /** The number of the request that is carried out next. */
  #next = 0;
  /** Requests to come that an earlier process has answered. */
  #answeredBefore = 0;
  /** Bytes that have come of the request that comes in. */
  #comingLength = 0;

  constructor(options: SessionOptions) {
    this.opener = options.opener;
    this.#context = options.context;
    this.#requestBytes = options.requestBytes;
    this.#onClosed = options.onClosed;
    this.units = new SessionUnits(options.context.store, options.unlinkedBytes, options.opener.uid);
    this.#handle = options.handle;
    this.#journal = options.journal;
    this.#inherited = options.inherited;
  }

  /**
   * Takes the bytes of requests, cut anywhere, and answers how many it took: fewer than all when too
   * many requests wait. Or a negative errno: EBUSY when it could take none. ENOMEM: too many bytes of requests are held.
   * EPROTO: after a line that was not a request.
   */
  write(data: Buffer, caller: Caller): number {
    if (caller.uid !== this.opener.uid) return EPERM;
    if (this.#frames.broken !== undefined) return EPROTO;
    if (this.#requestBytes.take(this.opener.uid, data.length) !== undefined) return ENOMEM;
    const taken = this.#takeIn(data);
    return taken === 0 && data.length > 0 ? EBUSY : taken;
  }

  /** Its bytes count in the budget. Returns how many of them it took. */
  #takeIn(data: Buffer): number {
    let held = this.#heldBytes + data.length;
    let at = 0;
    while (at < data.length && this.#unanswered < REQUESTS_WAITING_MAX) {
      const { end, result } = this.#frames.take(data, at);
      this.#comingLength += end - at;
      at = end;
      if (this.#frames.broken !== undefined) at = data.length;
      if (result === undefined) continue;
      if (!isRefusal(result)) held -= result.length;
      if (this.#isAnsweredBefore(result)) continue;
      this.#waiting.push(result);
      // A rejection is a broken invariant: unhandled, it ends the process.
      if (!this.#running) this.#idle = this.#run();
    }
    // A complete request gives its bytes back when it is answered, the rest stays for the next write.
    this.#requestBytes.give(this.opener.uid, held - this.#frames.held);
    this.#heldBytes = this.#frames.held;
    return at;
  }

  /** At most `lengthMax` bytes of the first reply; none when no request is unanswered. */
  read(lengthMax: number, caller: Caller, request = 0): Buffer | Errno | Promise<Buffer | Errno> {
    if (caller.uid !== this.opener.uid) return EPERM;
    if (lengthMax === 0) return NO_BYTES;
    if (this.#replies.length > 0) return this.#readReply(lengthMax, request);
    if (this.#unanswered > this.#readers.length) {
      return new Promise((resolve) => this.#readers.push({ request, lengthMax, resolve }));
    }
    return this.#frames.broken === undefined ? NO_BYTES : EPROTO;
  }

  /** ioctl(2): a whole request and its reply in one call, beside those that are written and read. */
  ioctl(
    command: number,
    input: Buffer,
    outputLengthMax: number,
    caller: Caller,
  ): IoctlReply | Errno | Promise<IoctlReply | Errno> {
    if (command !== HINT_COMMAND) return ENOTTY;
    if (caller.uid !== this.opener.uid) return EPERM;
    if (outputLengthMax < IOCTL_STRUCT_LENGTH) return EINVAL;
    const bytes = decodeIoctl(input);
    if (bytes === "version") return EOPNOTSUPP;
    if (bytes === "length") return EINVAL;
    return this.#ioctl(bytes, { by: "request", unique: this.#journal?.unique ?? 0, isHint: true });
  }

  /** The last close(2). */
  close(): void {
    this.#closed = true;
    this.#requestBytes.give(this.opener.uid, this.#heldBytes);
    this.#heldBytes = 0;
    for (const { resolve } of this.#readers.splice(0)) resolve(NO_BYTES);
    if (!this.#running) this.#end();
  }

  expire(nowSec: number): void {
    this.units.expire(nowSec);
  }

  get idle(): Promise<void> {
    return this.#idle;
  }

  /** Requests without a reply that was read to its end. */
  get #unanswered(): number {
    return this.#waiting.length + this.#replies.length + (this.#running ? 1 : 0);
  }

  async #run(): Promise<void> {
    this.#running = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const index = this.#next++;
      const bytes = await this.#reply(next, { by: "hint", handle: this.#handle, index });
      if (!isRefusal(next)) this.#requestBytes.give(this.opener.uid, next.length);
      this.#replies.push({ index, bytes });
      // Still running: the count of unanswered requests would be one too high for a reader.
      const reader = this.#readers.shift();
      if (reader !== undefined) reader.resolve(this.#readReply(reader.lengthMax, reader.request));
    }
    this.#running = false;
    if (this.#closed) this.#end();
  }

  async #reply(request: Frame | Refusal, cause: Cause): Promise<Buffer> {
    if (isRefusal(request)) return encodeRefusal(request);
    const before = this.#answerBefore(request, cause);
    if (before !== undefined) {
      // What the earlier process had committed it may not have synced.
      await this.#context.store.durable();
      // Nor told the kernel of.
      await this.#context.invalidations.allSettled();
      return encodeAnswer(before);
    }
    const outcome = await perform(this.#context, this.#requesterFor(cause), request);
    if (isRefusal(outcome)) return encodeRefusal(outcome);
    this.#noteUnits(request, outcome, cause);
    return encodeAnswer(outcome);
  }

  #requesterFor(cause: Cause): Requester {
    const journal = this.#journal;
    return {
      opener: this.opener,
      units: this.units,
      commits: (commit, value) =>
        journal === undefined ? commit() : journal.on(cause, commit, value),
    };
  }

  /** What a request answers that an earlier process has carried out. */
  #answerBefore(request: Frame, cause: Cause): Answer | undefined {
    if (cause.by === "kernel") return undefined;
    if (cause.by === "request") {
      const intent = this.#journal?.executed(cause.unique);
      return intent && answerOf(request, intent);
    }
    const { replies, intents } = this.#inherited ?? {};
    const intent = intents?.get(cause.index);
    return replies?.get(cause.index) ?? (intent && answerOf(request, intent));
  }

  /** A successor must know the units that are held. */
  #noteUnits({ fields }: Frame, outcome: Answer, cause: Cause): void {
    const journal = this.#journal;
    if (journal === undefined || cause.by === "kernel") return;
    const { sessions } = journal;
    const request = cause.by === "hint" ? { n: cause.index } : { u: cause.unique };
    let lastToken = 0;
    if (fields["op"] === "write") {
      const { list, last } = this.units.noted(outcome["units"] as readonly string[]);
      sessions.stored(this.#handle, request, list, last);
      lastToken = last;
    } else if (fields["op"] === "forget") {
      sessions.forgot(this.#handle, request, fields["units"] as readonly string[]);
    } else return;
    if (cause.by === "request") journal.carriedOut(cause.unique, lastToken);
  }

  /** Counts a request that has come whole; true when its reply has been read from an earlier process. */
  #isAnsweredBefore(request: Frame | Refusal): boolean {
    const noted = this.#journal?.sessions;
    if (isRefusal(request) && (request.reason === "bodyTooLong" || this.#frames.broken)) {
      noted?.unfollowable(this.#handle);
    } else noted?.complete(this.#handle, this.#comingLength);
    this.#comingLength = 0;
    if (this.#answeredBefore === 0) return false;
    this.#answeredBefore--;
    this.#next++;
    return true;
  }

  /** The units that it had in an earlier process. */
  takeUnits(): void {
    if (this.#inherited !== undefined) {
      this.units.restore(this.#inherited, this.#context.now().sec);
    }
  }

  /** Takes up what an earlier process has left; its requests that are not answered are carried out. */
  resume(): void {
    const inherited = this.#inherited;
    if (inherited === undefined) return;
    const { stream, firstInStream, next, reply, bytesRead } = inherited;
    this.#next = firstInStream;
    this.#answeredBefore = next - firstInStream;
    if (reply !== undefined) {
      this.#replies.push({ index: next - 1, bytes: reply });
      this.#bytesRead = bytesRead;
    }
    for (const bytes of stream) this.#takeAgain(bytes, inherited);
    // Nobody needs them here any more.
    stream.length = 0;
    inherited.reply = undefined;
    this.#journal?.sessions.answeredBefore(this.#handle, next);
  }

  /**
   * What was taken once is taken again, whatever else is held by now. Only of the last WRITE there can be bytes that were
   * not: of how many the earlier process may have died before it noted that, and before it answered.
   */
  #takeAgain(bytes: Buffer, { writes, lastWrite }: InheritedSession): void {
    this.#requestBytes.takeAnyway(this.opener.uid, bytes.length);
    const left = bytes.length - this.#takeIn(bytes);
    if (left === 0) return;
    const length = writes.get(lastWrite) ?? 0;
    writes.set(lastWrite, length - left);
    this.#journal?.sessions.takenOnly(this.#handle, length, length - left);
  }

  #readReply(lengthMax: number, request: number): Buffer {
    const { index, bytes: reply } = this.#replies[0] as Reply;
    const bytes = reply.subarray(this.#bytesRead, this.#bytesRead + lengthMax);
    const noted = this.#journal?.sessions;
    noted?.read(this.#handle, request, index, reply, this.#bytesRead, bytes.length);
    this.#bytesRead += bytes.length;
    if (this.#bytesRead === reply.length) {
      this.#replies.shift();
      this.#bytesRead = 0;
    }
    return bytes;
  }

  async #ioctl(bytes: Buffer, cause: Cause): Promise<IoctlReply> {
    const request = readWhole(bytes);
    const fault = isRefusal(request) ? request : fitsIoctl(request);
    const reply = await this.#reply(fault ?? request, cause);
    if (reply.length <= IOCTL_BYTES_MAX || isRefusal(request)) return encodeIoctl(reply);
    // Only a refusal can be too long, by its path and detail.
    const { ok, error, reason } = JSON.parse(reply.toString()) as Record<string, unknown>;
    return encodeIoctl(Buffer.from(`${JSON.stringify({ ok, error, reason })}\n`));
  }

  #end(): void {
    this.units.close();
    this.#onClosed(this);
  }
}

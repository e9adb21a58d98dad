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
import { encodeAnswer, encodeRefusal } from "./reply.ts";
import { SessionUnits } from "./session-units.ts";

const NO_BYTES = Buffer.alloc(0);

export interface SessionOptions {
  readonly context: HintsContext;
  readonly opener: Opener;
  readonly requestBytes: Budget;
  readonly unlinkedBytes: Budget;
  readonly onClosed: (session: HintSession) => void;
}

interface Reader {
  readonly lengthMax: number;
  readonly resolve: (bytes: Buffer | Errno) => void;
}

export class HintSession implements Requester {
  readonly opener: Opener;
  readonly units: SessionUnits;
  readonly #context: HintsContext;
  readonly #requestBytes: Budget;
  readonly #onClosed: (session: HintSession) => void;
  readonly #frames = new FrameReader();
  /** Requests whose turn has not come. */
  readonly #waiting: (Frame | Refusal)[] = [];
  /** Replies that have not been read to their end. */
  readonly #replies: Buffer[] = [];
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

  constructor(options: SessionOptions) {
    this.opener = options.opener;
    this.#context = options.context;
    this.#requestBytes = options.requestBytes;
    this.#onClosed = options.onClosed;
    this.units = new SessionUnits(options.context.store, options.unlinkedBytes, options.opener.uid);
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
    let held = this.#heldBytes + data.length;
    let at = 0;
    while (at < data.length && this.#unanswered < REQUESTS_WAITING_MAX) {
      const { end, result } = this.#frames.take(data, at);
      at = end;
      if (this.#frames.broken !== undefined) at = data.length;
      if (result === undefined) continue;
      if (!isRefusal(result)) held -= result.length;
      this.#waiting.push(result);
      // A rejection is a broken invariant: unhandled, it ends the process.
      if (!this.#running) this.#idle = this.#run();
    }
    // A complete request gives its bytes back when it is answered, the rest stays for the next write.
    this.#requestBytes.give(this.opener.uid, held - this.#frames.held);
    this.#heldBytes = this.#frames.held;
    return at === 0 && data.length > 0 ? EBUSY : at;
  }

  /** At most `lengthMax` bytes of the first reply; none when no request is unanswered. */
  read(lengthMax: number, caller: Caller): Buffer | Errno | Promise<Buffer | Errno> {
    if (caller.uid !== this.opener.uid) return EPERM;
    if (lengthMax === 0) return NO_BYTES;
    if (this.#replies.length > 0) return this.#readReply(lengthMax);
    if (this.#unanswered > this.#readers.length) {
      return new Promise((resolve) => this.#readers.push({ lengthMax, resolve }));
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
    return this.#ioctl(bytes);
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
      const reply = await this.#reply(next);
      if (!isRefusal(next)) this.#requestBytes.give(this.opener.uid, next.length);
      this.#replies.push(reply);
      // Still running: the count of unanswered requests would be one too high for a reader.
      const reader = this.#readers.shift();
      if (reader !== undefined) reader.resolve(this.#readReply(reader.lengthMax));
    }
    this.#running = false;
    if (this.#closed) this.#end();
  }

  async #reply(request: Frame | Refusal): Promise<Buffer> {
    if (isRefusal(request)) return encodeRefusal(request);
    const outcome = await perform(this.#context, this, request);
    return isRefusal(outcome) ? encodeRefusal(outcome) : encodeAnswer(outcome);
  }

  #readReply(lengthMax: number): Buffer {
    const reply = this.#replies[0] as Buffer;
    const bytes = reply.subarray(this.#bytesRead, this.#bytesRead + lengthMax);
    this.#bytesRead += bytes.length;
    if (this.#bytesRead === reply.length) {
      this.#replies.shift();
      this.#bytesRead = 0;
    }
    return bytes;
  }

  async #ioctl(bytes: Buffer): Promise<IoctlReply> {
    const request = readWhole(bytes);
    const fault = isRefusal(request) ? request : fitsIoctl(request);
    const reply = await this.#reply(fault ?? request);
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

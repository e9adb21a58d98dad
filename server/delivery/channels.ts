/**
 * The conversations with the spool. A message in flight has a channel of its own, made as needed and kept for
 * the next; one that broke off is thrown away, and with it all that lie unused, for their spool is gone too.
 *
 * Only requests are counted, not channels: a slow message that is written in pieces must not hold the others up.
 */
import { ChannelError, HintChannel } from "../../fs/hints/channel.ts";
import { HintError, parseReply } from "../../fs/hints/client.ts";

export type Reply = Readonly<Record<string, unknown>>;

export class Channels {
  readonly #mount: string;
  readonly #requestsMax: number;
  readonly #unused: HintChannel[] = [];
  /** Those whose turn has not come. */
  readonly #waiting: (() => void)[] = [];
  #underWay = 0;
  #isClosed = false;

  /** `requestsMax`: at a time, and channels that are kept; each takes a thread of Node's pool. */
  constructor(mount: string, requestsMax: number) {
    this.#mount = mount;
    this.#requestsMax = requestsMax;
  }

  /** Rejects with HintError, ChannelError, or what open(2) says. */
  async request(request: Buffer): Promise<Reply> {
    const line = new ChannelLine(this);
    try {
      return await line.request(request);
    } finally {
      line.end(true);
    }
  }

  /** For requests that belong together. */
  line(): ChannelLine {
    return new ChannelLine(this);
  }

  /** Resolves when a request may be made; `done` has to follow. */
  turn(): Promise<void> | undefined {
    if (this.#underWay < this.#requestsMax) {
      this.#underWay++;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  done(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#underWay--;
    else next();
  }

  take(): HintChannel | Promise<HintChannel> {
    return this.#unused.pop() ?? HintChannel.open(this.#mount);
  }

  give(channel: HintChannel): void {
    if (this.#isClosed || this.#unused.length >= this.#requestsMax) channel.close();
    else this.#unused.push(channel);
  }

  discard(channel: HintChannel): void {
    channel.close();
    for (const other of this.#unused.splice(0)) other.close();
  }

  close(): void {
    this.#isClosed = true;
    for (const channel of this.#unused.splice(0)) channel.close();
  }
}

/** Requests through one channel, one after the other. */
export class ChannelLine {
  readonly #channels: Channels;
  #channel: HintChannel | undefined;
  #isEnded = false;

  constructor(channels: Channels) {
    this.#channels = channels;
  }

  async request(request: Buffer): Promise<Reply> {
    const turn = this.#channels.turn();
    if (turn !== undefined) await turn;
    try {
      const reply = parseReply(await this.#exchange(request));
      if (reply instanceof HintError) throw reply;
      return reply;
    } finally {
      this.#channels.done();
    }
  }

  /** Gives the channel back; a kept one keeps the units that were written through it. */
  end(isKept: boolean): void {
    this.#isEnded = true;
    const channel = this.#channel;
    this.#channel = undefined;
    if (channel === undefined) return;
    if (isKept) this.#channels.give(channel);
    else channel.close();
  }

  async #exchange(request: Buffer): Promise<string> {
    const isFirst = this.#channel === undefined;
    for (let tries = 1; ; tries++) {
      let channel = this.#channel ?? this.#channels.take();
      if (channel instanceof Promise) channel = await channel;
      if (this.#isEnded) {
        this.#channels.give(channel);
        throw new ChannelError("ENDED", false, "the message was given up");
      }
      this.#channel = channel;
      try {
        return await channel.exchange(request);
      } catch (error) {
        this.#channel = undefined;
        this.#channels.discard(channel);
        // The spool was started again while the channel lay unused: nobody has seen the request.
        const again = isFirst && tries === 1;
        if (again && error instanceof ChannelError && !error.mayBeDone) continue;
        throw error;
      }
    }
  }
}

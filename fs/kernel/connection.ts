/**
 * One connection to the kernel: the device, the protocol spoken on it, and the thread that invalidates.
 *
 *     INIT read, answered     reader open           device ended                 descriptor closed
 *   ─────────────────────────┬─────────────────────┬──────────────────────────────┬─────────
 *     async read, EPERM       requests, replies     nothing is written any more;   closed resolves
 *     until mount(2)                                 everything granted is taken
 *                                                    back; the thread ends
 */
import type { Invalidator, Operations } from "../operations.ts";
import { rootNode } from "./abi.ts";
import { Herald } from "./herald/herald.ts";
import type { HeraldOptions } from "./herald/herald.ts";
import { DeviceWriter, openReader, readFirst } from "./device.ts";
import type { DeviceReading } from "./device.ts";
import { Invalidation, startInvalidationThread } from "./invalidation.ts";
import type { TakeoverJournal } from "../takeover/journal.ts";
import { InheritedInodes } from "./inherited-inodes.ts";
import { attributesChanged, sendAgain } from "./notification.ts";
import { Protocol } from "./protocol.ts";

/** 256 pages: the kernel's limit for an ordinary process (fs.fuse.max_pages_limit). */
const transferLengthMax = 1024 * 1024;
/** A WRITE's headers stand before its data; the kernel refuses a read with less room than this needs. */
const requestLengthMax = transferLengthMax + 8192;

/** What an earlier process has agreed upon with the kernel. */
export interface TakenOver {
  readonly minor: number;
  /** No inode of that time has this number or a greater one. */
  readonly inoEnd: number;
}

export interface ConnectionOptions {
  readonly journal?: TakeoverJournal | undefined;
  /** For tests: as on a kernel that sends no request again. */
  readonly withoutResend?: boolean;
  readonly attributeTimeoutSec: number;
  readonly reading: DeviceReading;
}

export class Connection implements Invalidator {
  readonly descriptor: number;
  readonly closed: Promise<void>;
  readonly #options: ConnectionOptions;
  readonly #buffer = Buffer.alloc(requestLengthMax);
  readonly #protocol: Protocol;
  readonly #writer: DeviceWriter;
  #invalidation: Invalidation | undefined;
  #resolveClosed = (): void => {};

  constructor(descriptor: number, operations: Operations, options: ConnectionOptions) {
    this.descriptor = descriptor;
    this.#options = options;
    this.#writer = new DeviceWriter(descriptor);
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    const { attributeTimeoutSec } = options;
    this.#protocol = new Protocol(
      operations,
      {
        send: (parts) => this.#writer.send(parts),
        invalidate: (ino, offset) => this.#drop(ino, offset),
        settled: (ino) => this.#invalidation?.settled(ino),
        outdate: (ino) => this.#outdate(ino),
        tellLastByte: (last) => this.#invalidation?.tellLastByte(last),
        fatal: die,
      },
      { attributeTimeoutSec, transferLengthMax, withoutResend: options.withoutResend ?? false },
      options.journal,
    );
    const { session } = this.#protocol;
    session.onConnected = () => options.journal?.connected(session.minor, session.resends);
  }

  /** Answers INIT and goes on to serve requests. Resolves with the reason when it had to refuse or was abandoned. */
  async answerInit(abandoned: AbortSignal): Promise<string | undefined> {
    const { session } = this.#protocol;
    while (session.minor === 0) {
      const length = await readFirst(this.descriptor, this.#buffer, abandoned);
      if (length === undefined) return "abandoned";
      this.#protocol.handle(this.#buffer, length);
      if (session.refusal !== undefined) return session.refusal;
    }
    this.#startThread();
    this.#read();
    return undefined;
  }

  /** Instead of an INIT, which the kernel sends once: goes on where an earlier process has ended. */
  inherit({ minor, inoEnd }: TakenOver): void {
    const { session } = this.#protocol;
    session.minor = minor;
    session.resends = true;
    session.inherited = new InheritedInodes(inoEnd, (ino) => void this.#drop(ino, -1));
    session.onConnected?.();
    this.#startThread();
  }

  /** Requests that the earlier process had read are sent again, before all others. */
  resume(): void {
    this.#writer.send([sendAgain()]);
    this.#read();
  }

  #startThread(): void {
    const { session } = this.#protocol;
    const thread = startInvalidationThread(this.descriptor);
    const onMissing = (ino: number): void => {
      if (session.inherited?.has(ino) !== true) return;
      session.inherited.gone(ino);
      if (!session.knows(ino)) session.forgotten(ino);
    };
    this.#invalidation = new Invalidation(thread, (ino) => session.knows(ino), die, onMissing);
  }

  #read(): void {
    openReader(
      this.#options.reading,
      this.descriptor,
      this.#buffer,
      (length) => this.#protocol.handle(this.#buffer, length),
      () => this.#end(),
    );
  }

  invalidate(ino: number, offset: number): Promise<void> | undefined {
    const told = this.#drop(ino, offset);
    if (told === undefined || offset < 0) return told;
    const { session } = this.#protocol;
    session.grew(ino);
    session.herald?.changed(ino);
    return told;
  }

  /** From now on programs that watch a file hear of what hints do to it. */
  heraldChanges(options: HeraldOptions): void {
    const { session } = this.#protocol;
    session.herald = new Herald(session, options);
  }

  get herald(): Herald | undefined {
    return this.#protocol.session.herald;
  }

  #drop(ino: number, offset: number): Promise<void> | undefined {
    const { session } = this.#protocol;
    if (ino !== rootNode && !session.knows(ino)) return undefined;
    session.ownWrites.forget(ino);
    return this.#invalidation?.invalidate(ino, offset);
  }

  /**
   * Attributes alone wait for no page, so this thread may write the notification. Whoever asked for them holds the
   * inode: it is not let go of in here.
   */
  #outdate(ino: number): void {
    this.#writer.send([attributesChanged(ino)]);
  }

  /** Unmounted or aborted: the one is as final as the other. */
  async #end(): Promise<void> {
    this.#writer.end();
    const silent = this.herald?.pause();
    this.#protocol.end();
    await this.#invalidation?.end();
    this.#invalidation = undefined;
    await silent;
    this.#resolveClosed();
  }
}

/** A broken invariant is not caught: the process dies, outside of whoever happened to notice. */
function die(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}

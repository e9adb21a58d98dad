/**
 * The server's side of the FUSE protocol: request bytes in, reply bytes out. It does not know /dev/fuse,
 * so a test speaks to it without a mount.
 *
 * Whatever the kernel sends, this lives: unknown opcodes get ENOSYS, malformed requests EINVAL. What a
 * broken invariant of the operations throws is answered with EIO and handed to `fatal`, which must end
 * the process.
 */
import { EINVAL, EIO, ENOSYS, EPROTO } from "../../base/errno.ts";
import type { Errno } from "../../base/errno.ts";
import type { Operations } from "../operations.ts";
import { StoreError } from "../store/errors.ts";
import type { TakeoverJournal } from "../takeover/journal.ts";
import { O_APPEND } from "../files/open-flags.ts";
import { interruptIn, opcode, writeIn } from "./abi.ts";
import { heraldHandle, heraldHandler, heraldNode } from "./herald/requests.ts";
import { Interrupts } from "./interrupts.ts";
import { served } from "./opcodes.ts";
import { Waiting } from "./outcome.ts";
import type { Handler, Outcome } from "./outcome.ts";
import { Reply } from "./reply.ts";
import { Request } from "./request.ts";
import { executedHandler } from "./requests/executed.ts";
import { Session } from "./session.ts";
import type { Invalidate, Outdate, SessionOptions, Settled, TellLastByte } from "./session.ts";

/** The kernel's errnos in a reply are 1..511; it would refuse a reply with another. */
const errnoMin = -511;
/** The longest body that is made here (a directory's entries); bytes of files go as they are. */
const bodyLengthMax = 128 * 1024;

/** What must not be done twice; of WRITEs those with O_APPEND. */
const onceOpcodes: ReadonlySet<number> = new Set([
  opcode.SYMLINK,
  opcode.MKNOD,
  opcode.MKDIR,
  opcode.UNLINK,
  opcode.RMDIR,
  opcode.RENAME,
  opcode.RENAME2,
  opcode.LINK,
  opcode.CREATE,
  opcode.SETXATTR,
  opcode.REMOVEXATTR,
]);

export interface ProtocolOutput {
  /**
   * Sends one reply, given in parts that are valid during the call. False when nobody waits for it any more,
   * so that the kernel has not learned what it says.
   */
  send(parts: Buffer[]): boolean;
  /** The kernel's cache of an inode is wrong, from `offset` on (< 0: attributes only). */
  readonly invalidate: Invalidate;
  readonly settled: Settled;
  readonly outdate: Outdate;
  readonly tellLastByte: TellLastByte;
  /** The operations broke an invariant: the process must end. */
  fatal(error: unknown): void;
}

export class Protocol {
  readonly session: Session;
  readonly #output: ProtocolOutput;
  readonly #request = new Request();
  readonly #reply = new Reply(bodyLengthMax);
  readonly #interrupts = new Interrupts();
  readonly #journal: TakeoverJournal | undefined;
  /** A request has come that no earlier process had: all those that one had were sent again before. */
  #isCaughtUp = false;
  #ended = false;

  constructor(
    operations: Operations,
    output: ProtocolOutput,
    options: SessionOptions,
    journal?: TakeoverJournal,
  ) {
    const { invalidate, settled, outdate, tellLastByte } = output;
    this.session = new Session(operations, invalidate, settled, outdate, tellLastByte, options);
    this.#output = output;
    this.#journal = journal;
  }

  get waitingCount(): number {
    return this.#interrupts.waitingCount;
  }

  /** Serves the request in the first `length` bytes of `bytes`, which may be overwritten afterwards. */
  handle(bytes: Buffer, length: number): void {
    if (this.#ended) return;
    const request = this.#request;
    const state = request.load(bytes, length);
    if (state === "short") return;
    const { uniqueLow, uniqueHigh, unique } = request;
    const entry = served(request.opcode);
    if (entry?.hasReply === false) {
      if (state === "ok" && request.bodyLength >= entry.bodyLengthMin) this.#withoutReply();
      return;
    }
    if (state === "malformed") return this.#answer(uniqueLow, uniqueHigh, EINVAL);
    if (entry === undefined) return this.#answer(uniqueLow, uniqueHigh, ENOSYS);
    if (request.bodyLength < entry.bodyLengthMin) {
      return this.#answer(uniqueLow, uniqueHigh, EINVAL);
    }
    if (this.session.minor === 0 && request.opcode !== opcode.INIT) {
      return this.#answer(uniqueLow, uniqueHigh, EPROTO);
    }
    this.#reply.reset();
    const handler = this.#isHeralds() ? heraldHandler(request.opcode) : entry.handler;
    let outcome: Outcome;
    try {
      outcome = this.#journaled(unique, handler);
    } catch (error) {
      return this.#failed(uniqueLow, uniqueHigh, error);
    }
    if (outcome instanceof Waiting) this.#wait(uniqueLow, uniqueHigh, outcome);
    else this.#answer(uniqueLow, uniqueHigh, outcome);
  }

  /** The connection is gone. What still waits is told so, and everything granted is taken back. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    try {
      this.#interrupts.interruptAll();
      this.session.end();
    } catch (error) {
      this.#output.fatal(error);
    }
  }

  /** Also those of an earlier process's herald: none of its bytes may get into a mailbox. */
  #isHeralds(): boolean {
    const request = this.#request;
    if (request.node === heraldNode || request.pid === this.session.herald?.pid) return true;
    return request.opcode === opcode.WRITE && request.u64(writeIn.fh) === heraldHandle;
  }

  /** A request whose reply was lost with an earlier process is answered and not carried out again. */
  #journaled(unique: number, handler: Handler): Outcome {
    const request = this.#request;
    const journal = this.#journal;
    if (journal === undefined) return handler(this.session, request, this.#reply);
    let isOnce = onceOpcodes.has(request.opcode);
    if (request.opcode === opcode.WRITE) isOnce = (request.u32(writeIn.flags) & O_APPEND) !== 0;
    if (request.isAgain && journal.executed(unique) !== undefined) {
      const executed = executedHandler(request.opcode);
      if (executed !== undefined) return executed(this.session, request, this.#reply);
    } else if (!request.isAgain && !this.#isCaughtUp) {
      this.#isCaughtUp = true;
      journal.forgetInherited(new Set(this.#interrupts.waiting));
    }
    journal.handle(unique, isOnce);
    try {
      return handler(this.session, request, this.#reply);
    } finally {
      journal.handled();
    }
  }

  #withoutReply(): void {
    const request = this.#request;
    try {
      if (request.opcode === opcode.INTERRUPT) {
        this.#interrupts.interrupt(request.uniqueAt(interruptIn.unique));
      } else {
        served(request.opcode)?.handler(this.session, request, this.#reply);
      }
    } catch (error) {
      this.#output.fatal(error);
    }
  }

  #wait(uniqueLow: number, uniqueHigh: number, waiting: Waiting): void {
    const { unique } = this.#request;
    const interrupts = this.#interrupts;
    interrupts.add(unique, waiting);
    waiting.encoder.then(
      (encode) => {
        interrupts.remove(unique);
        this.#reply.reset();
        let outcome: Errno | number;
        try {
          outcome = encode();
        } catch (error) {
          return this.#failed(uniqueLow, uniqueHigh, error);
        }
        this.#answer(uniqueLow, uniqueHigh, outcome);
      },
      (error: unknown) => {
        interrupts.remove(unique);
        this.#failed(uniqueLow, uniqueHigh, error);
      },
    );
  }

  #failed(uniqueLow: number, uniqueHigh: number, error: unknown): void {
    const isStorage = error instanceof StoreError;
    this.#answer(uniqueLow, uniqueHigh, isStorage ? error.errno : EIO);
    if (!isStorage) this.#output.fatal(error);
  }

  #answer(uniqueLow: number, uniqueHigh: number, outcome: Errno | number): void {
    // A request that waited beyond the end: what it opened is given back.
    if (this.#ended) return this.session.revokeGrants();
    const reply = this.#reply;
    if (outcome < 0) {
      reply.reset();
      const errno = outcome < errnoMin ? EIO : outcome;
      this.#output.send(reply.finish(uniqueLow, uniqueHigh, errno, 0));
      this.session.revokeGrants();
    } else if (this.#output.send(reply.finish(uniqueLow, uniqueHigh, 0, outcome))) {
      this.session.settleGrants();
    } else {
      this.session.revokeGrants();
    }
    this.#journal?.answered(uniqueLow, uniqueHigh);
    for (const { ino, offset } of this.session.takeChanged()) {
      void this.#output.invalidate(ino, offset);
    }
  }
}

/**
 * One open of the control file: bytes of a request there, bytes of its reply back. One request at a time; who
 * has several in mind opens several, and each reply that is waited for takes a thread of Node's pool
 * (UV_THREADPOOL_SIZE, 4 unless told).
 */
import { close, open, read, write } from "node:fs";
import { join } from "node:path";
import { assert } from "../../base/assert.ts";
import { CONTROL_NAME } from "../files/control.ts";

const READ_LENGTH = 16 * 1024;
const NEWLINE = 0x0a;

/** Answers of write(2) which say that the request has not reached a file system. */
const NOT_TAKEN: ReadonlySet<string | undefined> = new Set(["EBADF", "ENOTCONN"]);

/** The conversation broke off. */
export class ChannelError extends Error {
  override name = "ChannelError";
  /** The symbolic errno, or "EOF" when there was no reply. */
  readonly code: string;
  /** Whether the request may have been carried out. */
  readonly mayBeDone: boolean;

  constructor(code: string, mayBeDone: boolean, message: string) {
    super(message);
    this.code = code;
    this.mayBeDone = mayBeDone;
  }
}

export class HintChannel {
  readonly #descriptor: number;
  readonly #buffer = Buffer.allocUnsafeSlow(READ_LENGTH);
  #isBusy = false;
  #isClosed = false;

  private constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** Rejects with what open(2) says; ENOENT when `mountRoot` is no mount of ours. */
  static open(mountRoot: string): Promise<HintChannel> {
    return new Promise((resolve, reject) => {
      open(join(mountRoot, CONTROL_NAME), "r+", (error, descriptor) => {
        if (error === null) resolve(new HintChannel(descriptor));
        else reject(error);
      });
    });
  }

  /** The line of the reply. `request` must stay as it is until then. Rejects with ChannelError: no further use. */
  exchange(request: Buffer): Promise<string> {
    assert(!this.#isBusy && !this.#isClosed, "a channel has one request at a time");
    this.#isBusy = true;
    return new Promise((resolve, reject) => {
      const end = (error: ChannelError | undefined, reply: string): void => {
        this.#isBusy = false;
        if (this.#isClosed) this.#close();
        if (error === undefined) resolve(reply);
        else reject(error);
      };
      this.#write(request, 0, end);
    });
  }

  /** At once, or when the request that is under way has its reply. Units that were written are forgotten. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (!this.#isBusy) this.#close();
  }

  #close(): void {
    // What close(2) says of a connection that is gone is of no use to anybody.
    close(this.#descriptor, () => undefined);
  }

  #write(
    request: Buffer,
    at: number,
    end: (error: ChannelError | undefined, reply: string) => void,
  ) {
    write(this.#descriptor, request, at, request.length - at, null, (error, written) => {
      if (error !== null) {
        end(new ChannelError(`${error.code}`, !NOT_TAKEN.has(error.code), error.message), "");
      } else if (at + written < request.length) this.#write(request, at + written, end);
      else this.#read("", end);
    });
  }

  #read(before: string, end: (error: ChannelError | undefined, reply: string) => void): void {
    read(this.#descriptor, this.#buffer, 0, READ_LENGTH, null, (error, length) => {
      if (error !== null) return end(new ChannelError(`${error.code}`, true, error.message), "");
      if (length === 0) {
        return end(new ChannelError("EOF", true, "the file system gave no reply"), "");
      }
      // One character for each byte until the line is whole: a character may be cut.
      const text = before + this.#buffer.toString("latin1", 0, length);
      if (this.#buffer[length - 1] !== NEWLINE) return this.#read(text, end);
      return end(undefined, Buffer.from(text, "latin1").toString("utf8"));
    });
  }
}

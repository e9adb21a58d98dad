/**
 * Conversations with the hints: one for each open of the control file, and one for each open file through
 * which a program has made an ioctl of ours.
 */
import type { Errno } from "../../base/errno.ts";
import { EBADF, ENOTTY, EPERM, isErrno } from "../../base/errno.ts";
import type { Caller } from "../caller.ts";
import { HINT_COMMAND } from "../hints/ioctl.ts";
import type { IoctlReply, WriteRequest, Written } from "../operations.ts";

/** What is asked of fs/hints/. */
export interface SessionSource {
  open(caller: Caller): Session;
}

export interface Session {
  write(data: Buffer, caller: Caller): number | Errno;
  read(lengthMax: number, caller: Caller): Buffer | Errno | Promise<Buffer | Errno>;
  ioctl(
    command: number,
    input: Buffer,
    outputLengthMax: number,
    caller: Caller,
  ): IoctlReply | Errno | Promise<IoctlReply | Errno>;
  close(): void;
}

interface Owned {
  readonly session: Session;
  readonly uid: number;
}

export class Sessions {
  readonly #source: SessionSource;
  readonly #sessions = new Map<number, Owned>();

  constructor(source: SessionSource) {
    this.#source = source;
  }

  open(handle: number, caller: Caller): Session {
    const session = this.#source.open(caller);
    this.#sessions.set(handle, { session, uid: caller.uid });
    return session;
  }

  read(
    handle: number,
    lengthMax: number,
    caller: Caller,
  ): readonly Buffer[] | Errno | Promise<readonly Buffer[] | Errno> {
    const session = this.#of(handle, caller);
    if (typeof session === "number") return session;
    const reply = session.read(lengthMax, caller);
    return reply instanceof Promise ? reply.then(inList) : inList(reply);
  }

  write({ handle, offset, data }: WriteRequest, caller: Caller): Written | Errno {
    const session = this.#of(handle, caller);
    if (typeof session === "number") return session;
    const length = session.write(data, caller);
    return isErrno(length) ? length : { offset, length };
  }

  /** The first one through an open file settles on whose behalf all of them are. */
  ioctl(
    handle: number,
    command: number,
    input: Buffer,
    outputLengthMax: number,
    caller: Caller,
  ): IoctlReply | Errno | Promise<IoctlReply | Errno> {
    // isatty(3) asks every file that some runtimes open: nothing of ours.
    if (command !== HINT_COMMAND) return ENOTTY;
    const session = this.#sessions.has(handle)
      ? this.#of(handle, caller)
      : this.open(handle, caller);
    if (typeof session === "number") return session;
    return session.ioctl(command, input, outputLengthMax, caller);
  }

  close(handle: number): void {
    this.#sessions.get(handle)?.session.close();
    this.#sessions.delete(handle);
  }

  closeAll(): void {
    for (const handle of this.#sessions.keys()) this.close(handle);
  }

  /** A session of an earlier run is gone, and a descriptor handed to another user gives it no rights. */
  #of(handle: number, caller: Caller): Session | Errno {
    const owned = this.#sessions.get(handle);
    if (owned === undefined) return EBADF;
    return owned.uid === caller.uid ? owned.session : EPERM;
  }
}

function inList(reply: Buffer | Errno): readonly Buffer[] | Errno {
  return typeof reply === "number" ? reply : [reply];
}

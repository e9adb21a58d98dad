/**
 * Conversations with the hints: one for each open of the control file, and one for each open file through
 * which a program has made an ioctl of ours.
 */
import type { Errno } from "../../base/errno.ts";
import { EBADF, ENOTTY, EPERM, isErrno } from "../../base/errno.ts";
import type { Caller } from "../caller.ts";
import { HINT_COMMAND } from "../hints/ioctl.ts";
import type { InheritedSession } from "../takeover/inherited.ts";
import type { NotedSessions } from "../takeover/noted-session.ts";
import type { IoctlReply, WriteRequest, Written } from "../operations.ts";

/** What is asked of fs/hints/. */
export interface SessionSource {
  /** `handle`: the open file, by which a successor of this process knows the session. */
  open(caller: Caller, handle: number): Session;
  /** One that an earlier process had. */
  restore?(inherited: InheritedSession): Session;
}

export interface Session {
  write(data: Buffer, caller: Caller): number | Errno;
  /** `request`: the number of the READ, which the kernel may send again to a successor. */
  read(
    lengthMax: number,
    caller: Caller,
    request: number,
  ): Buffer | Errno | Promise<Buffer | Errno>;
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
  readonly #noted: NotedSessions | undefined;
  readonly #request: () => number;
  readonly #sessions = new Map<number, Owned>();
  /** What counts of requests that an earlier process has carried out; by their numbers. */
  readonly #takenBefore = new Map<number, InheritedSession>();
  readonly #readBefore = new Map<number, Buffer>();

  /** `request`: the number of the request that is being handled. */
  constructor(source: SessionSource, noted?: NotedSessions, request: () => number = () => 0) {
    this.#source = source;
    this.#noted = noted;
    this.#request = request;
  }

  /** Those that an earlier process had, when a mount is taken over. */
  restore(inherited: Iterable<InheritedSession>): void {
    for (const one of inherited) {
      const session = this.#source.restore?.(one);
      if (session === undefined) continue;
      this.#sessions.set(one.handle, { session, uid: one.opener.uid });
      for (const request of one.writes.keys()) this.#takenBefore.set(request, one);
      if (one.lastRead !== undefined) {
        this.#readBefore.set(one.lastRead.unique, one.lastRead.bytes);
      }
    }
  }

  open(handle: number, caller: Caller): Session {
    const session = this.#source.open(caller, handle);
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
    const request = this.#request();
    const before = this.#readBefore.get(request);
    if (before !== undefined) return [before];
    const reply = session.read(lengthMax, caller, request);
    return reply instanceof Promise ? reply.then(inList) : inList(reply);
  }

  write({ handle, offset, data }: WriteRequest, caller: Caller): Written | Errno {
    const session = this.#of(handle, caller);
    if (typeof session === "number") return session;
    const request = this.#request();
    const before = this.#takenBefore.get(request)?.writes.get(request) ?? 0;
    // One of which nothing was taken is tried anew.
    if (before > 0) return { offset, length: before };
    this.#noted?.written(handle, request, data);
    const length = session.write(data, caller);
    this.#noted?.takenOnly(handle, data.length, isErrno(length) ? 0 : length);
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
    if (this.#sessions.has(handle)) this.#noted?.closed(handle);
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

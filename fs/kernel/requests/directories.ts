/**
 * Reading directories. "." and ".." are made here: they have the offsets 1 and 2, and an entry's offset
 * is its cookie + 2. READDIRPLUS saves the LOOKUP of each entry.
 */
import { EBADF, EINVAL, isErrno } from "../../../base/errno.ts";
import type { Errno } from "../../../base/errno.ts";
import { S_IFDIR } from "../../attributes.ts";
import type { Attributes } from "../../attributes.ts";
import type { Caller } from "../../caller.ts";
import type { DirectoryEntry } from "../../operations.ts";
import { dirent, entryOut, openOut, readIn, releaseIn } from "../abi.ts";
import { whenDone } from "../outcome.ts";
import type { Handler, Outcome } from "../outcome.ts";
import type { Reply } from "../reply.ts";
import type { Request } from "../request.ts";
import type { Session } from "../session.ts";

const ownEntries = 2;
/** A guess: how many entries are asked for at once. One too many is read again with the next request. */
const nameLengthTypical = 16;

export const opendir: Handler = (session, request, reply) => {
  const result = session.operations.openDirectory(request.node);
  if (isErrno(result)) return result;
  session.grantDirectory(result);
  reply.clear(0, openOut.sizeof);
  reply.u64(openOut.fh, result);
  return openOut.sizeof;
};

export const releasedir: Handler = (session, request) =>
  session.releaseDirectory(request.u64(releaseIn.fh)) ? 0 : EBADF;

export const readdir: Handler = (session, request, reply) =>
  list(session, request, reply, undefined);

export const readdirplus: Handler = (session, request, reply) =>
  list(session, request, reply, request.caller);

function list(session: Session, request: Request, reply: Reply, plus: Caller | undefined): Outcome {
  const parent = request.node;
  const handle = request.u64(readIn.fh);
  const offset = request.u64(readIn.offset);
  const lengthMax = Math.min(request.u32(readIn.size), reply.bodyLengthMax);
  const fixed = (plus === undefined ? 0 : entryOut.sizeof) + dirent.sizeof;
  const countMax = Math.max(1, Math.floor(lengthMax / (fixed + nameLengthTypical)));
  const cookie = Math.max(0, offset - ownEntries);
  if (!Number.isSafeInteger(offset)) return 0;
  return whenDone(session.operations.readDirectory(parent, handle, cookie, countMax), (result) => {
    if (isErrno(result)) return result;
    const writer = new EntryWriter(session, reply, parent, lengthMax, plus);
    if (offset < 1) writer.dot(".", parent, 1);
    if (offset < 2) writer.dot("..", session.operations.parentOf(parent), 2);
    for (const entry of result) if (!writer.entry(entry)) break;
    return writer.finish();
  });
}

class EntryWriter {
  readonly #session: Session;
  readonly #reply: Reply;
  readonly #parent: number;
  readonly #lengthMax: number;
  readonly #plus: Caller | undefined;
  #at = 0;
  #full = false;

  constructor(
    session: Session,
    reply: Reply,
    parent: number,
    lengthMax: number,
    plus: Caller | undefined,
  ) {
    this.#session = session;
    this.#reply = reply;
    this.#parent = parent;
    this.#lengthMax = lengthMax;
    this.#plus = plus;
  }

  /** The kernel does not count "." and ".." as known, so they go without attributes. */
  dot(name: string, ino: number, offset: number): void {
    if (this.#fits(name)) this.#put(name, ino, S_IFDIR, offset, undefined);
  }

  /** False when the reply is full. */
  entry({ name, ino, type, cookie }: DirectoryEntry): boolean {
    if (!this.#fits(name)) return false;
    this.#put(name, ino, type, cookie + ownEntries, this.#lookup(name, ino));
    return true;
  }

  /** A request that has no room even for one entry would otherwise look like the end. */
  finish(): Errno | number {
    return this.#full && this.#at === 0 ? EINVAL : this.#at;
  }

  /**
   * By name, for the directory may have changed since it was opened: the kernel must not learn that the name
   * belongs to an inode that it no longer has. Without attributes the entry is listed and nothing more; so it
   * is while an invalidation of the inode is under way, which its new size must not overtake (attributes.ts).
   */
  #lookup(name: string, ino: number): Attributes | undefined {
    if (this.#plus === undefined || this.#session.settled(ino) !== undefined) return undefined;
    const found = this.#session.operations.lookup(this.#parent, name, this.#plus);
    return isErrno(found) || found.ino !== ino ? undefined : found;
  }

  #fits(name: string): boolean {
    if (this.#at + this.#length(name) > this.#lengthMax) this.#full = true;
    return !this.#full;
  }

  #length(name: string): number {
    const fixed = (this.#plus === undefined ? 0 : entryOut.sizeof) + dirent.sizeof;
    return (fixed + name.length + 7) & ~7;
  }

  #put(
    name: string,
    ino: number,
    type: number,
    offset: number,
    attributes: Attributes | undefined,
  ): void {
    const reply = this.#reply;
    const length = this.#length(name);
    reply.clear(this.#at, length);
    let at = this.#at;
    if (this.#plus !== undefined) {
      if (attributes !== undefined) {
        this.#session.grantInode(attributes.ino);
        reply.entry(at, attributes, this.#session.options.attributeTimeoutSec);
      }
      at += entryOut.sizeof;
    }
    reply.u64(at + dirent.ino, ino);
    reply.u64(at + dirent.off, offset);
    reply.u32(at + dirent.namelen, name.length);
    // The d_type of readdir(3): the mode's type bits without the permission bits.
    reply.u32(at + dirent.type, type >>> 12);
    reply.text(at + dirent.sizeof, name);
    this.#at += length;
  }
}

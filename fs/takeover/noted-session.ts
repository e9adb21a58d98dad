/**
 * The conversations with the hints, as they are noted: what was written and whose reply nobody has begun to read, the
 * reply that is being read, and the units that are held.
 *
 * A request counts as answered when bytes of its reply are given out; until then a successor carries it out anew,
 * unless it has committed.
 */
import type { Opener } from "../hints/credentials.ts";
import type { InheritedSession, Intent } from "./inherited.ts";
import type { JournalRecord, MemoryJournal } from "./memory-journal.ts";

type Append = (text: JournalRecord["text"], bytes?: Buffer) => number;

export type Token = readonly [token: string, ids: readonly number[], length: number];

/** What has changed the units of a session: its request `n` of those that were written, or the ioctl(2) with the number `u`. */
export type UnitsRequest = { readonly n: number } | { readonly u: number };

interface Piece {
  at: number;
  length: number;
}

export class NotedSession {
  readonly handle: number;
  readonly opener: Opener;
  readonly tokens: Map<string, Token>;
  lastToken: number;
  /** Where in the journal the bytes stand that were written, from the beginning of request `first` on. */
  readonly stream: Piece[] = [];
  /** Before they stand there. */
  inheritedStream: readonly Buffer[];
  first: number;
  /** The first request whose reply nobody has begun to read. */
  next: number;
  /** Lengths of the requests from `first` on that are complete. */
  readonly lengths: number[] = [];
  reply: Buffer | undefined;
  readFrom = 0;
  readTo = 0;
  readUnique = 0;
  /** The last WRITE, which may not be answered, and how much of it was taken. */
  lastWrite = 0;
  lastTaken = 0;
  readonly intents = new Map<number, Intent>();
  /** What requests have stored or forgotten whose reply nobody has begun to read. */
  readonly done = new Map<number, JournalRecord>();

  constructor(handle: number, opener: Opener) {
    this.handle = handle;
    this.opener = opener;
    this.tokens = new Map();
    this.lastToken = 0;
    this.inheritedStream = [];
    this.first = 0;
    this.next = 0;
  }
}

export function notedSession(inherited: InheritedSession): NotedSession {
  const { handle, opener, tokens, lastToken, stream, firstInStream, writes } = inherited;
  const session = new NotedSession(handle, opener);
  for (const [token, { ids, length }] of tokens) session.tokens.set(token, [token, ids, length]);
  session.lastToken = lastToken;
  session.inheritedStream = stream;
  session.first = firstInStream;
  session.next = inherited.next;
  session.lastWrite = inherited.lastWrite;
  session.lastTaken = writes.get(inherited.lastWrite) ?? 0;
  for (const [index, intent] of inherited.intents) session.intents.set(index, intent);
  // Its units are what they are by now: only the answer is still needed.
  for (const [n, answer] of inherited.replies) {
    session.done.set(n, { text: { t: "reply", h: handle, n, answer }, bytes: undefined });
  }
  const { lastRead, reply, bytesRead } = inherited;
  if (reply !== undefined) {
    session.reply = reply;
    session.readTo = bytesRead;
    session.readFrom = bytesRead - (lastRead?.bytes.length ?? 0);
  } else if (lastRead !== undefined) {
    session.reply = lastRead.bytes;
    session.readTo = lastRead.bytes.length;
  }
  session.readUnique = lastRead?.unique ?? 0;
  return session;
}

export class NotedSessions {
  readonly #memory: MemoryJournal;
  readonly #append: Append;
  readonly #sessions = new Map<number, NotedSession>();

  constructor(memory: MemoryJournal, append: Append) {
    this.#memory = memory;
    this.#append = append;
  }

  adopt(session: NotedSession): void {
    this.#sessions.set(session.handle, session);
  }

  opened(handle: number, opener: Opener): void {
    const session = new NotedSession(handle, opener);
    this.#sessions.set(handle, session);
    this.#append({ t: "open", h: handle, opener, n: 0 });
  }

  closed(handle: number): void {
    if (this.#sessions.delete(handle)) this.#append({ t: "close", h: handle });
  }

  /** `request`: the number of the WRITE. */
  written(handle: number, request: number, data: Buffer): void {
    const session = this.#sessions.get(handle);
    if (session === undefined) return;
    const at = this.#append({ t: "write", h: handle, u: request }, data);
    if (at === 0) {
      // There is no room, now: without these bytes the next ones mean nothing.
      this.#sessions.delete(handle);
      return;
    }
    session.stream.push({ at, length: data.length });
    session.lastWrite = request;
    session.lastTaken = data.length;
  }

  /** Fewer bytes than that were taken. */
  takenOnly(handle: number, given: number, taken: number): void {
    const session = this.#sessions.get(handle);
    if (session === undefined || given === taken) return;
    this.#append({ t: "cut", h: handle, n: given - taken });
    session.lastTaken = taken;
    const last = session.stream.at(-1);
    if (last !== undefined) last.length -= given - taken;
  }

  /** A request of so many bytes is complete; they are the next ones of the stream. */
  complete(handle: number, length: number): void {
    this.#sessions.get(handle)?.lengths.push(length);
  }

  /** A READ gives out bytes of the reply to request `index`. */
  read(
    handle: number,
    request: number,
    index: number,
    reply: Buffer,
    at: number,
    length: number,
  ): void {
    const session = this.#sessions.get(handle);
    if (session === undefined) return;
    const text = { t: "read", h: handle, u: request, n: index, at, length };
    this.#append(text, at === 0 ? reply : undefined);
    if (at === 0) this.#answered(session, index);
    session.reply = reply;
    session.readFrom = at;
    session.readTo = at + length;
    session.readUnique = request;
  }

  stored(handle: number, request: UnitsRequest, list: readonly Token[], last: number): void {
    const session = this.#sessions.get(handle);
    if (session === undefined) return;
    for (const token of list) session.tokens.set(token[0], token);
    session.lastToken = last;
    this.#done(session, request, { t: "tokens", h: handle, ...request, list, last });
  }

  forgot(handle: number, request: UnitsRequest, names: readonly string[]): void {
    const session = this.#sessions.get(handle);
    if (session === undefined) return;
    for (const name of names) session.tokens.delete(name);
    const list = names.map((name) => [name]);
    this.#done(session, request, { t: "forget", h: handle, ...request, list });
  }

  /** Where the next request begins cannot be told: a successor does not know this session. */
  unfollowable(handle: number): void {
    this.closed(handle);
  }

  /** The requests before this one were answered by an earlier process; their bytes stand in the stream. */
  answeredBefore(handle: number, index: number): void {
    const session = this.#sessions.get(handle);
    if (session !== undefined) this.#answered(session, index - 1);
  }

  #done(session: NotedSession, request: UnitsRequest, text: JournalRecord["text"]): void {
    this.#append(text);
    // What an ioctl answers is an intent of the journal.
    if ("n" in request) session.done.set(request.n, { text, bytes: undefined });
  }

  committed(handle: number, index: number, intent: Intent): void {
    this.#sessions.get(handle)?.intents.set(index, intent);
  }

  refused(handle: number, index: number): void {
    this.#sessions.get(handle)?.intents.delete(index);
  }

  /** Adds what counts of all sessions, has everything written, and notes where it stands. */
  rewritten(records: JournalRecord[], write: (all: JournalRecord[]) => readonly number[]): void {
    const streams: { readonly session: NotedSession; readonly record: number; length: number }[] =
      [];
    for (const session of this.#sessions.values()) {
      records.push(openRecord(session));
      const { handle, tokens, intents, lastToken } = session;
      if (tokens.size > 0) {
        const text = { t: "tokens", h: handle, list: [...tokens.values()], last: lastToken };
        records.push({ text, bytes: undefined });
      }
      const bytes = this.#streamOf(session);
      const { lastWrite: u, lastTaken: taken } = session;
      if (bytes.length > 0) streams.push({ session, record: records.length, length: bytes.length });
      if (u !== 0) records.push({ text: { t: "write", h: handle, u, taken }, bytes });
      for (const [index, { end, pends, value }] of intents) {
        const e = end && [end.segment, end.offset];
        const text = { t: "do", h: handle, n: index, e, r: [pends, value] };
        records.push({ text, bytes: undefined });
      }
      records.push(...session.done.values());
    }
    const places = write(records);
    for (const session of this.#sessions.values()) {
      session.stream.length = 0;
      session.inheritedStream = [];
    }
    for (const { session, record, length } of streams) {
      const at = places[record];
      if (at === undefined) this.#sessions.delete(session.handle);
      else session.stream.push({ at, length });
    }
  }

  /** Nothing is kept of what was written: sessions with bytes that still count cannot be told to a successor. */
  lost(): void {
    for (const { handle, stream, inheritedStream } of this.#sessions.values()) {
      if (stream.length > 0 || inheritedStream.length > 0) this.#sessions.delete(handle);
    }
  }

  #streamOf(session: NotedSession): Buffer {
    const pieces = session.stream.map(({ at, length }) => this.#memory.readBack(at, length));
    return Buffer.concat([...session.inheritedStream, ...pieces]);
  }

  /** Nobody needs the request any more, nor those before it. */
  #answered(session: NotedSession, index: number): void {
    let length = 0;
    session.next = index + 1;
    for (; session.first <= index && session.lengths.length > 0; session.first++) {
      length += session.lengths.shift() ?? 0;
      session.intents.delete(session.first);
      session.done.delete(session.first);
    }
    while (length > 0) {
      const [first] = session.stream;
      if (first === undefined) break;
      const taken = Math.min(length, first.length);
      first.at += taken;
      first.length -= taken;
      length -= taken;
      if (first.length === 0) session.stream.shift();
    }
  }
}

/** With the reply that was given out last, for a READ that the kernel sends again. */
function openRecord(session: NotedSession): JournalRecord {
  const { handle, opener, first, next, lastToken, reply, readFrom, readTo, readUnique } = session;
  const text = { t: "open", h: handle, opener, n: first, next, lastToken };
  if (reply === undefined) return { text, bytes: undefined };
  return { text: { ...text, ru: readUnique, from: readFrom, at: readTo }, bytes: reply };
}

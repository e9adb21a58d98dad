/** What a process left behind in its journal, as its successor reads it. Pure. */
import type { Opener } from "../hints/credentials.ts";
import type { LockRequest } from "../locks/table.ts";
import type { LogPosition } from "../store/log/log.ts";
import type { JournalRecord } from "./memory-journal.ts";

/** What a commit answers beside "done", as far as it cannot be told afterwards. */
export interface CommitResult {
  /** Deliveries that pend. */
  readonly pends: number;
  /** What the operation needs besides for its answer: an offset, a size. */
  readonly value: number;
}

export interface Intent extends CommitResult {
  /** The end of the log once the commit is in it; undefined: it is known to be. */
  readonly end: LogPosition | undefined;
}

export interface InheritedLock {
  readonly ino: number;
  readonly request: LockRequest;
}

/** One open of the control file, or an open file through which hints were sent by ioctl(2). */
export interface InheritedSession {
  readonly handle: number;
  readonly opener: Opener;
  /** Unit ids and length of each token. */
  readonly tokens: Map<string, { readonly ids: readonly number[]; readonly length: number }>;
  lastToken: number;
  /** What was written, from the beginning of request `firstInStream` on. */
  readonly stream: Buffer[];
  readonly firstInStream: number;
  /** The first request whose reply nobody has begun to read. */
  next: number;
  /** The reply that is being read, and how much of it was. */
  reply: Buffer | undefined;
  bytesRead: number;
  /** How much of each WRITE was taken, and the last READ, in case the kernel asks again. */
  readonly writes: Map<number, number>;
  lastWrite: number;
  lastRead: { readonly unique: number; readonly bytes: Buffer } | undefined;
  /** Replies of requests that were carried out and whose reply nobody has read, by their number. */
  readonly replies: Map<number, Readonly<Record<string, unknown>>>;
  /** Requests that have committed, by their number. */
  readonly intents: Map<number, Intent>;
}

export interface Inherited {
  /** The protocol's minor version. */
  minor: number;
  /** Whether the kernel can be asked to send requests again. */
  resends: boolean;
  heraldPid: number;
  /** "major:minor" of the file system; undefined: it was not mounted yet. */
  device: string | undefined;
  /** Handles begin with this second. */
  handleSec: number;
  /** In the order in which they were set and cleared. */
  readonly locks: ((
    | { readonly type: "set"; readonly request: LockRequest }
    | { readonly type: "dropOwner"; readonly owner: bigint }
    | { readonly type: "dropHandle"; readonly handle: number }
  ) & { readonly ino: number })[];
  readonly intents: Map<number, Intent>;
  readonly sessions: Map<number, InheritedSession>;
  /** Inodes that were changed behind the kernel's back, about which it may not have heard. */
  readonly notices: Set<number>;
}

interface Fields {
  readonly t: string;
  readonly [key: string]: unknown;
}

export function readInherited(records: readonly JournalRecord[]): Inherited {
  const all: Inherited = {
    minor: 0,
    resends: false,
    heraldPid: 0,
    device: undefined,
    handleSec: 0,
    locks: [],
    intents: new Map(),
    sessions: new Map(),
    notices: new Set(),
  };
  for (const { text, bytes = Buffer.alloc(0) } of records) {
    const record = text as Fields;
    const numbers = record as unknown as Record<string, number>;
    const { h = 0, i = 0, u = 0, n = 0 } = numbers;
    const session = all.sessions.get(h);
    switch (record.t) {
      case "init":
        all.minor = numbers["minor"] ?? 0;
        all.resends = record["resends"] === true;
        all.handleSec = numbers["sec"] ?? 0;
        break;
      case "mounted":
        all.device = record["device"] as string;
        break;
      case "herald":
        all.heraldPid = numbers["pid"] ?? 0;
        break;
      case "lock":
        all.locks.push({ type: "set", ino: i, request: readLock(record) });
        break;
      case "dropOwner":
        all.locks.push({ type: "dropOwner", ino: i, owner: BigInt(record["o"] as string) });
        break;
      case "dropHandle":
        all.locks.push({ type: "dropHandle", ino: i, handle: h });
        break;
      case "do": {
        for (const ino of (record["i"] ?? []) as readonly number[]) all.notices.add(ino);
        const intent = readIntent(record);
        if (u !== 0) all.intents.set(u, intent);
        else session?.intents.set(n, intent);
        break;
      }
      case "refused":
        if (u !== 0) all.intents.delete(u);
        else session?.intents.delete(n);
        break;
      case "open":
        all.sessions.set(h, newSession(h, record, bytes));
        break;
      case "close":
        all.sessions.delete(h);
        break;
      case "write":
        session?.stream.push(bytes);
        // A snapshot says how much the last one was.
        if (u !== 0) session?.writes.set(u, numbers["taken"] ?? bytes.length);
        if (session !== undefined) session.lastWrite = u;
        break;
      case "cut":
        if (session !== undefined) cutStream(session, n);
        break;
      case "read":
        if (session !== undefined) readBy(session, numbers, bytes);
        break;
      case "reply":
        session?.replies.set(n, record["answer"] as Readonly<Record<string, unknown>>);
        break;
      case "tokens":
      case "forget":
        if (session !== undefined) changeTokens(session, record);
        if (u !== 0) all.intents.set(u, { end: undefined, pends: 0, value: numbers["last"] ?? 0 });
        break;
      default:
        break;
    }
  }
  return all;
}

function readLock(record: Fields): LockRequest {
  const [type, flavor, start, end, pid, handle] = record["l"] as [
    LockRequest["type"],
    LockRequest["flavor"],
    number,
    number,
    number,
    number,
  ];
  return { owner: BigInt(record["o"] as string), type, flavor, start, end, pid, handle };
}

function readIntent(record: Fields): Intent {
  const place = record["e"] as readonly [number, number] | undefined;
  const [pends = 0, value = 0] = (record["r"] ?? []) as readonly number[];
  const end = place && { segment: place[0], offset: place[1] };
  return { end, pends, value };
}

/** `bytes`: a reply that was being read when this was written. */
function newSession(handle: number, record: Fields, bytes: Buffer): InheritedSession {
  const numbers = record as unknown as Record<string, number>;
  const { n = 0, lastToken = 0, at = 0, ru = 0, from = 0 } = numbers;
  const session: InheritedSession = {
    handle,
    opener: record["opener"] as Opener,
    tokens: new Map(),
    lastToken,
    stream: [],
    firstInStream: n,
    next: numbers["next"] ?? n,
    reply: at < bytes.length ? bytes : undefined,
    bytesRead: at < bytes.length ? at : 0,
    writes: new Map(),
    lastWrite: 0,
    lastRead: ru === 0 ? undefined : { unique: ru, bytes: bytes.subarray(from, at) },
    replies: new Map(),
    intents: new Map(),
  };
  return session;
}

/** Of what was written last, `length` bytes were not taken. */
function cutStream(session: InheritedSession, length: number): void {
  const { stream, writes, lastWrite } = session;
  writes.set(lastWrite, (writes.get(lastWrite) ?? length) - length);
  const last = stream.pop() ?? Buffer.alloc(0);
  stream.push(last.subarray(0, last.length - length));
}

/** `bytes`: the whole reply, with its first read. */
function readBy(session: InheritedSession, numbers: Record<string, number>, bytes: Buffer): void {
  const { u = 0, n = 0, at = 0, length = 0 } = numbers;
  const reply = at === 0 ? bytes : (session.reply ?? Buffer.alloc(0));
  const end = at + length;
  if (at === 0) session.next = n + 1;
  session.lastRead = { unique: u, bytes: reply.subarray(at, end) };
  session.reply = end < reply.length ? reply : undefined;
  session.bytesRead = end < reply.length ? end : 0;
}

function changeTokens(session: InheritedSession, record: Fields): void {
  const list = record["list"] as readonly (readonly [string, readonly number[], number])[];
  const n = record["n"] as number | undefined;
  if (record.t === "tokens") {
    for (const [token, ids, length] of list) session.tokens.set(token, { ids, length });
    session.lastToken = (record["last"] as number | undefined) ?? session.lastToken;
  } else for (const [token] of list) session.tokens.delete(token);
  if (n === undefined) return;
  const names = list.map(([token]) => token);
  session.replies.set(n, record.t === "tokens" ? { units: names } : { forgotten: names.length });
}

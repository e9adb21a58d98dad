/** What the serving process finds in what its keeper holds. */
import type { LogPosition } from "../store/log/log.ts";
import { keptDescriptors } from "./kept.ts";
import type { Inherited, InheritedSession, Intent } from "./inherited.ts";
import { readInherited } from "./inherited.ts";
import { TakeoverJournal } from "./journal.ts";
import { MemoryJournal } from "./memory-journal.ts";

export interface Takeover {
  readonly device: number;
  readonly journal: TakeoverJournal;
  /** What an earlier process has left; undefined at the first start. */
  readonly inherited: Inherited | undefined;
}

/** To be called once, in a process that a keeper has started. */
export function openTakeover(): Takeover {
  const { device, journals } = keptDescriptors;
  const memory = new MemoryJournal(journals);
  const records = memory.read();
  const inherited = records.length === 0 ? undefined : readInherited(records);
  // No handle of the earlier process begins with this second or a later one.
  const sec = Math.max(Math.floor(Date.now() / 1000), (inherited?.handleSec ?? 0) + 1);
  return { device, journal: new TakeoverJournal(memory, sec), inherited };
}

/** Of what was to be committed, that which is in the log, which ends here. */
export function landed<K>(intents: ReadonlyMap<K, Intent>, end: LogPosition): Map<K, Intent> {
  const found = new Map<K, Intent>();
  for (const [key, intent] of intents) {
    // From now on it is known, however far the log grows.
    if (reaches(end, intent.end)) found.set(key, { ...intent, end: undefined });
  }
  return found;
}

function reaches(end: LogPosition, wanted: LogPosition | undefined): boolean {
  if (wanted === undefined || end.segment > wanted.segment) return true;
  return end.segment === wanted.segment && end.offset >= wanted.offset;
}

/** The session as the log knows it. */
export function landedSession(session: InheritedSession, end: LogPosition): InheritedSession {
  return { ...session, intents: landed(session.intents, end) };
}

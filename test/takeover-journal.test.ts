/** What a serving process notes, and what its successor reads of it. */
import { closeSync, fstatSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";
import t from "tap";
import type { Inherited } from "../fs/takeover/inherited.ts";
import { readInherited } from "../fs/takeover/inherited.ts";
import type { Cause } from "../fs/takeover/journal.ts";
import { TakeoverJournal } from "../fs/takeover/journal.ts";
import { MemoryJournal } from "../fs/takeover/memory-journal.ts";

const REWRITE_BYTES = 1024 * 1024;
const opener = { uid: 0, gid: 0, pid: 1, processId: 1, groups: [] };

class Noted {
  readonly journal: TakeoverJournal;
  readonly files: readonly [number, number];
  /** Inodes of which the kernel has not heard. */
  readonly untold = new Set<number>();

  constructor(t: Test) {
    const directory = mkdtempSync(join(tmpdir(), "onespool-journal-"));
    const open = (name: string): number => openSync(join(directory, name), "w+");
    this.files = [open("0"), open("1")];
    t.teardown(() => {
      for (const file of this.files) closeSync(file);
      rmSync(directory, { recursive: true, force: true });
    });
    this.journal = new TakeoverJournal(new MemoryJournal(this.files), 1_800_000_000);
    const isTold = (ino: number): boolean => !this.untold.has(ino);
    this.journal.begin({ locks: () => [], isTold }, new Map(), [], []);
  }

  read(): Inherited {
    return readInherited(new MemoryJournal(this.files).read());
  }

  commit(cause: Cause, inodes: readonly number[] = []): void {
    const changes = inodes.map((ino) => ({ type: "attributes", ino }) as const);
    const end = { segment: 1, offset: 100 };
    this.journal.on(cause, () => this.journal.committing(changes, end));
  }

  /** It is written anew before the record after the next one. */
  fill(): void {
    const handle = 77;
    this.journal.sessions.opened(handle, opener);
    const write = (bytes: number): number => {
      this.journal.sessions.written(handle, 99, Buffer.alloc(bytes));
      return fstatSync(this.files[1]).size;
    };
    const before = write(1);
    const head = write(1) - before - 1;
    const rest = REWRITE_BYTES - fstatSync(this.files[1]).size - head;
    t.equal(write(rest), REWRITE_BYTES);
  }
}

t.test("a commit that was not written takes back no other one", (t) => {
  const noted = new Noted(t);
  const hint = (handle: number): Cause => ({ by: "hint", handle, index: 0 });
  noted.journal.sessions.opened(3, opener);
  noted.journal.sessions.opened(4, opener);
  noted.commit({ by: "request", unique: 2 });
  noted.commit(hint(3));
  noted.fill();
  noted.commit({ by: "request", unique: 4 });
  noted.journal.on({ by: "request", unique: 4 }, () => noted.journal.refused());
  noted.commit(hint(4));
  noted.journal.on(hint(4), () => noted.journal.refused());
  const { intents, sessions } = noted.read();
  t.same([...intents.keys()], [2]);
  t.same([...sessions.get(3)!.intents.keys()], [0]);
  t.same([...sessions.get(4)!.intents.keys()], []);
  t.end();
});

t.test("the record of a change that makes the journal be written anew is not lost", (t) => {
  const noted = new Noted(t);
  noted.fill();
  noted.journal.sessions.opened(5, opener);
  noted.commit({ by: "hint", handle: 5, index: 0 }, [42]);
  t.ok(noted.read().notices.has(42));
  noted.untold.add(42);
  noted.journal.connected(40, true);
  t.ok(noted.read().notices.has(42), "as long as the kernel has not heard of it");
  noted.untold.delete(42);
  noted.journal.connected(40, true);
  t.notOk(noted.read().notices.has(42));
  t.end();
});

t.test("a journal of another version says nothing", (t) => {
  const noted = new Noted(t);
  noted.commit({ by: "request", unique: 2 });
  t.equal(noted.read().intents.size, 1);
  for (const file of noted.files) writeSync(file, Buffer.from([2]), 0, 1, 4);
  t.same(new MemoryJournal(noted.files).read(), []);
  t.end();
});

/** What a serving process notes, and what its successor reads of it. */
import { spawnSync } from "node:child_process";
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

  nowMs = 0;

  constructor(t: Test, size?: string) {
    const directory = mkdtempSync(join(tmpdir(), "onespool-journal-"));
    if (size !== undefined) {
      const options = ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", directory];
      t.equal(spawnSync("mount", options).status, 0, "tmpfs is mounted");
    }
    const open = (name: string): number => openSync(join(directory, name), "w+");
    this.files = [open("0"), open("1")];
    t.teardown(() => {
      for (const file of this.files) closeSync(file);
      if (size !== undefined) spawnSync("umount", ["-l", directory]);
      rmSync(directory, { recursive: true, force: true });
    });
    const memory = new MemoryJournal(this.files);
    this.journal = new TakeoverJournal(memory, 1_800_000_000, () => this.nowMs);
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

const skip = process.getuid?.() === 0 ? false : "only root can mount a small tmpfs";

t.test("without room for a record, what still counts is written anew", { skip }, (t) => {
  const noted = new Noted(t, "256k");
  const { sessions } = noted.journal;
  sessions.opened(3, opener);
  for (let k = 0; k < 100; k++) {
    noted.commit({ by: "request", unique: 2 * k + 2 });
    sessions.opened(4, opener);
    sessions.written(4, 2 * k + 3, Buffer.alloc(10_000, k));
    sessions.closed(4);
  }
  sessions.written(3, 1001, Buffer.from("kept"));
  const read = noted.read();
  t.equal(read.intents.size, 100);
  t.same([...read.sessions.keys()], [3]);
  t.equal(Buffer.concat(read.sessions.get(3)!.stream).toString(), "kept");
  t.end();
});

t.test("without room for what counts nothing is kept, until there is room", { skip }, (t) => {
  const noted = new Noted(t, "256k");
  const { sessions } = noted.journal;
  noted.journal.connected(40, true);
  noted.commit({ by: "request", unique: 2 });
  sessions.opened(3, opener);
  sessions.opened(4, opener);
  sessions.opened(5, opener);
  sessions.written(4, 11, Buffer.from("a part of a request"));
  sessions.written(5, 13, Buffer.alloc(1_000_000));
  t.same(new MemoryJournal(noted.files).read(), []);
  sessions.closed(5);
  noted.commit({ by: "request", unique: 4 });
  t.same(new MemoryJournal(noted.files).read(), [], "not at once");

  noted.nowMs += 60_000;
  noted.commit({ by: "request", unique: 6 });
  sessions.written(3, 15, Buffer.from("whole"));
  const { resends, intents, sessions: left } = noted.read();
  t.ok(resends);
  t.same([...intents.keys()], [2, 4, 6]);
  t.same([...left.keys()], [3], "the others have lost bytes");
  t.equal(Buffer.concat(left.get(3)!.stream).toString(), "whole");
  t.end();
});

t.test("when there is room again everything is noted, also if nothing happens", { skip }, (t) => {
  const noted = new Noted(t, "256k");
  const { journal } = noted;
  journal.connected(40, true);
  noted.commit({ by: "request", unique: 2 });
  journal.sessions.opened(5, opener);
  journal.sessions.written(5, 13, Buffer.alloc(1_000_000));
  const nothing = (): boolean => new MemoryJournal(noted.files).read().length === 0;
  t.ok(nothing());
  journal.tick();
  t.ok(nothing(), "not at once");
  noted.nowMs += 60_000;
  journal.tick();
  t.ok(noted.read().resends, "a successor can take over");
  t.same([...noted.read().intents.keys()], [2]);
  t.end();
});

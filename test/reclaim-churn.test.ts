/**
 * A day of mail in seconds: deliveries to many, expunging from the middle and from the start, mailboxes that are
 * rewritten, removed and made. Cleaning runs by itself, and the store keeps to its published bound (docs/SPACE.md) at
 * every look. `ONESPOOL_SEED=n` repeats a run; ONESPOOL_LONG=1 makes it two days of a larger site.
 */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import t from "tap";
import { S_IFREG } from "../fs/attributes.ts";
import type { Change } from "../fs/store/records/change.ts";
import { checkStore } from "../fs/store/check.ts";
import { Store } from "../fs/store/store.ts";
import { Random } from "./reclaim-model.ts";
import { dump } from "./store-dump.ts";

const seed = Number(process.env["ONESPOOL_SEED"] ?? Date.now() % 1_000_000);
const isLong = process.env["ONESPOOL_LONG"] === "1";
t.setTimeout(isLong ? 3_600_000 : 120_000);
t.comment(`seed ${seed}: ONESPOOL_SEED=${seed} repeats this run`);

const MAILBOXES = isLong ? 400 : 60;
const MAILS = isLong ? 60_000 : 3_500;
const MESSAGES_KEPT = isLong ? 60 : 30;
const SEGMENT_LENGTH = isLong ? 4 << 20 : 256 << 10;
const RECIPIENTS = 15;

interface Mailbox {
  ino: number;
  readonly name: string;
  /** Lengths of its messages. */
  messages: number[];
}

class Day {
  readonly store: Store;
  readonly random = new Random(seed);
  readonly mailboxes: Mailbox[] = [];
  #second = 1_700_000_000;

  constructor(store: Store) {
    this.store = store;
    for (let k = 0; k < MAILBOXES; k++) {
      this.mailboxes.push({ ino: this.#make(`user${k}`), name: `user${k}`, messages: [] });
    }
  }

  #time(): { sec: number; nsec: number } {
    return { sec: this.#second++, nsec: 0 };
  }

  #make(name: string): number {
    const ino = this.store.newIno();
    const time = this.#time();
    const rest = { uid: 8, gid: 8, nlink: 1, rdev: 0, parent: 0, target: Buffer.alloc(0) };
    const mode = S_IFREG | 0o600;
    this.store.commit([
      { type: "inode", ino, mode, ...rest, atime: time, mtime: time, ctime: time },
      { type: "name", parent: 1, name, ino, fileType: S_IFREG },
    ]);
    return ino;
  }

  deliver(): void {
    const chosen = new Set<Mailbox>();
    while (chosen.size < RECIPIENTS) chosen.add(this.random.pick(this.mailboxes) as Mailbox);
    const shared = Buffer.alloc(500 + this.random.below(12_000), this.random.below(256));
    const own = Buffer.alloc(90 * RECIPIENTS, 65);
    const unit = this.store.writeUnit([shared, own]);
    const targets = [...chosen].map(({ ino }, k) => {
      return { ino, private: { unit, offset: shared.length + 90 * k, length: 90 } };
    });
    const extents = [{ unit, offset: 0, length: shared.length }];
    this.store.commit([{ type: "deliver", time: this.#time(), shared: extents, targets }]);
    for (const mailbox of chosen) mailbox.messages.push(shared.length + 90);
  }

  /** As a mail program does: behind a lock, some messages from anywhere. */
  expunge(): void {
    const mailbox = this.random.pick(this.mailboxes) as Mailbox;
    this.#dotlock(mailbox.name);
    const over = mailbox.messages.length - MESSAGES_KEPT;
    for (let count = Math.max(1, over); count > 0 && mailbox.messages.length > 0; count--) {
      const which = this.random.below(mailbox.messages.length);
      let offset = 0;
      for (const length of mailbox.messages.slice(0, which)) offset += length;
      const [remove] = mailbox.messages.splice(which, 1) as [number];
      const { ino } = mailbox;
      this.store.commit([{ type: "splice", ino, offset, remove, extents: [] }]);
    }
  }

  #dotlock(name: string): void {
    const lock = `${name}.lock`;
    const ino = this.#make(lock);
    const gone: Change = { type: "attributes", ino, nlink: 0 };
    this.store.commit([{ type: "unname", parent: 1, name: lock }, gone]);
    this.store.commit([{ type: "dropInode", ino }]);
  }

  /** The account ends, and somebody else gets one. */
  replace(): void {
    const mailbox = this.random.pick(this.mailboxes) as Mailbox;
    const { ino, name } = mailbox;
    this.store.commit([
      { type: "unname", parent: 1, name },
      { type: "attributes", ino, nlink: 0 },
    ]);
    this.store.commit([{ type: "dropInode", ino }]);
    mailbox.ino = this.#make(name);
    mailbox.messages = [];
  }
}

t.test("a store keeps to its bound under a day of mail", async (t) => {
  const directory = join(fs.mkdtempSync(join(tmpdir(), "onespool-churn-")), "s");
  t.teardown(() => fs.rmSync(join(directory, ".."), { recursive: true, force: true }));
  const options = { segmentLength: SEGMENT_LENGTH };
  let store = await Store.open(directory, { ...options, create: true, reclaim: true });
  const day = new Day(store);
  let worst = 0;
  let bytesWritten = 0;
  let memoryEarly = 0;
  for (let mail = 0; mail < MAILS; mail++) {
    day.deliver();
    day.expunge();
    if (day.random.below(500) === 0) day.replace();
    if (mail % 4 === 0) await store.durable();
    await nextTurn();
    if (mail % 20 !== 0) continue;
    const { logBytes, logBytesMax } = store.reclaimer.status();
    worst = Math.max(worst, logBytes / logBytesMax);
    if (mail === Math.floor(MAILS / 3 / 20) * 20) memoryEarly = rss();
  }
  const status = store.reclaimer.status();
  bytesWritten = status.bytesFreed + status.logBytes;
  const files = fs.readdirSync(join(directory, "log"));
  let size = 0;
  for (const name of files) size += fs.statSync(join(directory, "log", name)).size;
  t.comment(
    `${MAILS} mails to ${RECIPIENTS} each: ${mb(bytesWritten)} of log, ${mb(status.logBytes)} left for ` +
      `${mb(status.liveBytes)} live (${mb(status.liveMetadataBytes)} metadata), at most ${worst.toFixed(2)} of the bound; ` +
      `moved ${mb(status.bytesMoved)}, records ${mb(status.recordBytes)}, longest step ${status.stepMsMax.toFixed(1)} ms`,
  );
  t.ok(worst <= 1, `the log was never over its bound (${worst.toFixed(2)})`);
  t.ok(status.bytesFreed > status.logBytes, `${mb(status.bytesFreed)} were given back`);
  t.equal(status.failure, undefined);
  // Zeros are written ahead in the last segment.
  t.ok(size <= status.logBytesMax + (1 << 20), `${mb(size)} on the disk`);
  if (isLong) {
    const growth = rss() - memoryEarly;
    t.ok(growth < 64 << 20, `memory grew by ${mb(growth)} in the last two thirds`);
  }
  await store.close();
  store = await Store.open(directory, options);
  const lived = await dump(store);
  await store.close();
  store = await Store.open(directory, { ...options, rebuildIndex: true });
  const rebuilt = await dump(store);
  await store.close();
  t.ok(
    rebuilt.join("\n") === lived.join("\n"),
    "an index that is made anew from the log is the same",
  );
  const report = await checkStore(directory);
  t.same(report.problems, []);
});

function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function rss(): number {
  return process.memoryUsage.rss();
}

/**
 * How long others wait for the cleaning of a store with one very large mailbox, in which mail goes on arriving:
 *
 *     node dist/bench/large-mailbox.js [MESSAGES] [EXTENTS]
 *
 * EXTENTS: how many extents of a file one commit of cleaning may write down (default: as the store does it; 0: all).
 * A delivery is due every 10 ms, and its waiting counts from then on, whoever was busy. The processor time of a turn of
 * the event loop is the thread's own (/proc), which other work on the machine does not make longer.
 */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import type { Extent } from "../fs/store/records/change.ts";
import { STEP_LIMITS } from "../fs/store/reclaim/host.ts";
import { Store } from "../fs/store/store.ts";
import { describeMachine } from "./machine.ts";

const SEGMENT_LENGTH = 4 * 1024 * 1024;
const PRIVATE_LENGTH = 10;
const SHARED_LENGTH = 30;
const MESSAGES_AT_ONCE = 1_000;
/** Written beside them and deleted at once. */
const DEAD_LENGTH = 60_000;
const NEWS_LENGTH = 2_000;
const EVERY_MS = 10;
const PLAIN_MS = 5_000;
const TIME = { sec: 1_700_000_000, nsec: 0 };

async function main([messages = "100000", extents = `${STEP_LIMITS.extentsMax}`]: string[]) {
  const directory = fs.mkdtempSync(join(tmpdir(), "onespool-large-"));
  try {
    console.log(describeMachine(directory));
    console.log(
      `sizes:   ${messages} messages in one mailbox, ${extents === "0" ? "all" : extents} extents in a commit, ` +
        `segments of ${SEGMENT_LENGTH >> 20} MiB, a delivery every ${EVERY_MS} ms`,
    );
    await measure(join(directory, "s"), Number(messages), Number(extents) || Infinity);
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

async function measure(path: string, messages: number, extentsMax: number): Promise<void> {
  const store = await Store.open(path, {
    create: true,
    segmentLength: SEGMENT_LENGTH,
    reclaimStep: { ...STEP_LIMITS, extentsMax },
  });
  const [large, dead] = [makeFile(store, "large"), makeFile(store, "dead")];
  for (let k = 0; k < messages; k += MESSAGES_AT_ONCE) {
    append(store, large);
    replace(store, dead);
    if (k % 50_000 === 0) await store.durable();
  }
  await store.checkpoint();
  const plain = await deliveries(store, large, pause(PLAIN_MS));
  const turns: number[] = [];
  const start = performance.now();
  const cleaning = store.reclaim({ now: true });
  const [waits] = await Promise.all([
    deliveries(store, large, cleaning),
    watchTurns(turns, cleaning),
  ]);
  const { segments } = await cleaning;
  const seconds = (performance.now() - start) / 1000;
  console.log(`cleaned: ${segments} segments in ${seconds.toFixed(1)} s`);
  show("processor time of a turn", turns);
  show("a delivery without cleaning", plain);
  show("a delivery while cleaning", waits);
  await store.close();
}

function makeFile(store: Store, name: string): number {
  const ino = store.newIno();
  const attributes = { mode: 0o100600, uid: 0, gid: 0, nlink: 1, rdev: 0, parent: 0 };
  const times = { atime: TIME, mtime: TIME, ctime: TIME };
  store.commit([
    { type: "inode", ino, ...attributes, ...times, target: Buffer.alloc(0) },
    { type: "name", parent: 1, name, ino, fileType: 0o100000 },
  ]);
  return ino;
}

/** Messages of two extents each. */
function append(store: Store, ino: number): void {
  const own = store.writeUnit([Buffer.alloc(PRIVATE_LENGTH * MESSAGES_AT_ONCE, 65)]);
  const body = store.writeUnit([Buffer.alloc(SHARED_LENGTH * MESSAGES_AT_ONCE, 66)]);
  const extents: Extent[] = [];
  for (let k = 0; k < MESSAGES_AT_ONCE; k++) {
    extents.push({ unit: own, offset: k * PRIVATE_LENGTH, length: PRIVATE_LENGTH });
    extents.push({ unit: body, offset: k * SHARED_LENGTH, length: SHARED_LENGTH });
  }
  const offset = store.inode(ino)?.size ?? 0;
  store.commit([{ type: "splice", ino, offset, remove: 0, extents }]);
}

function replace(store: Store, ino: number): void {
  const unit = store.writeUnit([Buffer.alloc(DEAD_LENGTH, 67)]);
  const remove = store.inode(ino)?.size ?? 0;
  const extents = [{ unit, offset: 0, length: DEAD_LENGTH }];
  store.commit([{ type: "splice", ino, offset: 0, remove, extents }]);
}

/** How long each waited (ms), until something has ended. */
async function deliveries(store: Store, ino: number, end: Promise<unknown>): Promise<number[]> {
  const waits: number[] = [];
  const ended = end.then(() => true);
  for (let due = performance.now() + EVERY_MS; ; due += EVERY_MS) {
    const early = due - performance.now();
    const isOver = await Promise.race([ended, early > 0 ? pause(early) : nextTurn()]);
    if (isOver === true) return waits;
    const unit = store.writeUnit([Buffer.alloc(NEWS_LENGTH, 68)]);
    const shared = [{ unit, offset: 0, length: NEWS_LENGTH }];
    const from = due;
    store.commit([{ type: "deliver", time: TIME, shared, targets: [{ ino, private: undefined }] }]);
    store.durable().then(
      () => waits.push(performance.now() - from),
      (error: unknown) => console.error(error),
    );
  }
}

/** What each turn of the event loop takes of this thread's processor time (ms). */
async function watchTurns(turns: number[], end: Promise<unknown>): Promise<void> {
  const ended = end.then(() => true);
  const fd = fs.openSync(`/proc/self/task/${process.pid}/schedstat`, "r");
  const text = Buffer.alloc(64);
  const spent = (): number => {
    const length = fs.readSync(fd, text, 0, text.length, 0);
    return Number(text.toString("latin1", 0, length).split(" ")[0]) / 1e6;
  };
  for (let before = spent(); (await Promise.race([ended, nextTurn()])) !== true;) {
    const now = spent();
    turns.push(now - before);
    before = now;
  }
  fs.closeSync(fd);
}

function show(what: string, values: readonly number[]): void {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0).toFixed(1);
  console.log(
    `${what.padEnd(28)} median ${at(0.5)} ms, 99 of 100 below ${at(0.99)} ms, longest ${at(1)} ms`,
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href)
  await main(process.argv.slice(2));

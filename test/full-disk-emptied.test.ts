/** A disk that is full of mail, nearly all of which is deleted: nothing but cleaning makes room there. */
import { randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import t from "tap";
import { S_IFREG } from "../fs/attributes.ts";
import { checkStore } from "../fs/store/check.ts";
import { StoreError } from "../fs/store/errors.ts";
import { Store } from "../fs/store/store.ts";
import { eventually } from "./system/harness.ts";
import { makeSmallDisk, missingSmallDisk, type SmallDisk } from "./system/small-disk.ts";

const timeout = 90_000;
t.setTimeout(2 * timeout);
const skip = missingSmallDisk() ?? false;

const MAIL_LENGTH = 250_000;
const KEPT = "kept";
const time = { sec: 1, nsec: 0 };

type Test = Pick<typeof t, "teardown">;

/** What the store says of its disk, in the order in which it says it. */
function said(test: Test): string[] {
  const lines: string[] = [];
  const note = ({ message }: Error): void => {
    if (/disk under the store/.test(message)) lines.push(/full/.test(message) ? "full" : "room");
  };
  process.on("warning", note);
  test.teardown(() => process.off("warning", note));
  return lines;
}

class Spool {
  readonly small: SmallDisk;
  readonly directory: string;
  /** What was acknowledged and not deleted. */
  readonly mail = new Map<string, Buffer>();
  #store: Store | undefined;
  #number = 0;
  readonly #reserveMin: number;

  constructor(test: Test, megabytes: number) {
    this.small = makeSmallDisk(megabytes);
    this.#reserveMin = megabytes > 64 ? 4 << 20 : 2 << 20;
    this.directory = join(this.small.path, "store");
    test.teardown(async () => {
      await this.#store?.close();
      this.small.end();
    });
  }

  get store(): Store {
    return this.#store!;
  }

  async open(reclaim: boolean): Promise<void> {
    this.#store = await Store.open(this.directory, { create: true, keepReserve: true, reclaim });
  }

  async close(): Promise<void> {
    const store = this.store;
    this.#store = undefined;
    await store.close();
  }

  get reserve(): number {
    return statSync(join(this.directory, "reserve"), { throwIfNoEntry: false })?.size ?? 0;
  }

  /** False: the disk is full. */
  deliver(name = `mail-${this.#number++}`, length = MAIL_LENGTH): boolean {
    const bytes = randomBytes(length);
    const ino = this.store.newIno();
    const owner = { mode: S_IFREG | 0o600, uid: 1, gid: 2, nlink: 1, rdev: 0 };
    const rest = { parent: 0, target: Buffer.alloc(0), atime: time, mtime: time, ctime: time };
    try {
      const unit = this.store.writeUnit([bytes]);
      this.store.commit([
        { type: "inode", ino, ...owner, ...rest },
        { type: "name", parent: 1, name, ino, fileType: S_IFREG },
        { type: "splice", ino, offset: 0, remove: 0, extents: [{ unit, offset: 0, length }] },
      ]);
    } catch (error) {
      if (error instanceof StoreError && error.code === "STORE_FULL") return false;
      throw error;
    }
    this.mail.set(name, bytes);
    return true;
  }

  /** Mail, until none is taken, of this length and then in small portions. */
  async fill(): Promise<void> {
    await eventually("the reserve is made", async () => this.reserve >= this.#reserveMin);
    this.deliver(KEPT);
    while (this.deliver()) {
      await this.store.durable();
      await nextTurn();
    }
    while (this.deliver(undefined, 4_000)) await nextTurn();
  }

  async removeAll(): Promise<void> {
    for (const name of this.mail.keys()) {
      if (name === KEPT) continue;
      const ino = this.store.lookup(1, name);
      const size = this.store.inode(ino)!.size;
      this.store.commit([
        { type: "unname", parent: 1, name },
        { type: "attributes", ino, nlink: 0 },
        { type: "splice", ino, offset: 0, remove: size, extents: [] },
        { type: "dropInode", ino },
      ]);
      this.mail.delete(name);
      await nextTurn();
    }
    await this.store.durable();
  }

  /** Whether what is there is what was acknowledged and not deleted. */
  async check(test: Pick<typeof t, "ok" | "same">): Promise<void> {
    for (const [name, bytes] of this.mail) {
      const ino = this.store.lookup(1, name);
      test.ok(this.store.read(ino, 0, bytes.length).equals(bytes), `${name} is there`);
    }
    await this.close();
    test.same((await checkStore(this.directory)).problems, []);
  }
}

await t.test(
  "service comes back by itself when all mail is deleted",
  { skip, timeout },
  async (t) => {
    const lines = said(t);
    const spool = new Spool(t, 96);
    await spool.open(true);
    await spool.fill();
    t.ok(spool.small.available < 2 << 20, `the disk is full: ${spool.small.available}`);
    t.ok(spool.store.statistics().segments > 1);
    await spool.removeAll();
    // Where deleting takes more than a second, some of it has been cleaned by now.
    const isTaken = spool.deliver();
    t.ok(!isTaken || spool.small.available > 2 << 20, "no mail is taken before there is room");
    await eventually("mail is taken", async () => spool.deliver());
    // Warnings come in a later turn.
    await nextTurn();
    t.same(lines, ["full", "room"]);
    await eventually(
      "most of the disk is free again",
      async () => spool.small.available > 30 << 20,
    );
    await spool.check(t);
    await spool.open(false);
    await spool.check(t);
  },
);

await t.test(
  "and at a start on the full disk, if nothing was cleaned before",
  { skip, timeout },
  async (t) => {
    const spool = new Spool(t, 96);
    await spool.open(false);
    await spool.fill();
    await spool.removeAll();
    t.notOk(spool.deliver(), "deleting alone makes no room");
    await spool.close();
    const lines = said(t);
    await spool.open(true);
    await eventually("mail is taken", async () => spool.deliver());
    // Warnings come in a later turn.
    await nextTurn();
    t.same(lines, ["full", "room"]);
    await spool.check(t);
  },
);

await t.test(
  "the last segment is given back too, when nearly all in it is dead",
  { skip, timeout },
  async (t) => {
    const spool = new Spool(t, 40);
    await spool.open(false);
    await spool.fill();
    t.equal(spool.store.statistics().segments, 1);
    const unasked = spool.store.reclaimer.status().waiting;
    t.same(unasked, []);
    await spool.removeAll();
    const [waiting] = spool.store.reclaimer.status().waiting;
    t.match(waiting, { reason: "last", segments: 1 });
    const { freedBytes } = await spool.store.reclaim({ now: true });
    t.ok(freedBytes > 20 << 20);
    t.same(spool.store.reclaimer.status().waiting, []);
    await eventually("mail is taken", async () => spool.deliver());
    await spool.check(t);
  },
);

await t.test("what lives and does not fit is left, and told of", { skip, timeout }, async (t) => {
  const spool = new Spool(t, 96);
  await spool.open(true);
  await spool.fill();
  const { reserve } = spool;
  // Every second mail: no segment can be moved into what is left of the room.
  const kept = [...spool.mail].filter((_mail, k) => k % 2 === 0);
  for (const [name] of kept) spool.mail.delete(name);
  const rest = new Map(kept);
  await spool.removeAll();
  for (const [name, bytes] of rest) spool.mail.set(name, bytes);
  await spool.store.reclaim({ now: true });
  t.match(spool.store.reclaimer.status().waiting[0], { reason: "roomToMove" });
  t.ok(spool.reserve >= reserve / 2, "the reserve is not spent for it");
  t.notOk(spool.deliver());
  await spool.removeAll();
  await eventually("when the rest is deleted, mail is taken", async () => spool.deliver());
  await spool.check(t);
});

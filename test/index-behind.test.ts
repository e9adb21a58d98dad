/** An index that cannot be written while the log can: what waits for it in memory has an end. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { S_IFREG } from "../fs/attributes.ts";
import type { Change } from "../fs/store/records/change.ts";
import { checkStore } from "../fs/store/check.ts";
import { Store } from "../fs/store/store.ts";

const UNWRITTEN_BYTES_MAX = 20_000;
/** What weighs least is a row of 80 bytes. */
const FILES_MAX = UNWRITTEN_BYTES_MAX / 80;

function create(store: Store, name: string): readonly Change[] {
  const time = { sec: 1_700_000_000, nsec: 0 };
  const ino = store.newIno();
  const owner = { uid: 1, gid: 2, nlink: 1, rdev: 0, parent: 0, target: Buffer.alloc(0) };
  const times = { atime: time, mtime: time, ctime: time };
  return [
    { type: "inode", ino, mode: S_IFREG | 0o600, ...owner, ...times },
    { type: "name", parent: 1, name, ino, fileType: S_IFREG },
  ];
}

function remove(store: Store, name: string): readonly Change[] {
  return [
    { type: "unname", parent: 1, name },
    { type: "dropInode", ino: store.lookup(1, name) },
  ];
}

function rename(store: Store, from: string, to: string): readonly Change[] {
  const ino = store.lookup(1, from);
  return [
    { type: "unname", parent: 1, name: from },
    { type: "name", parent: 1, name: to, ino, fileType: S_IFREG },
  ];
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function until(condition: () => boolean): Promise<void> {
  for (let k = 0; k < 10_000 && !condition(); k++) await pause(1);
  if (!condition()) throw new Error("it does not come");
}

t.test(
  "nothing new is taken while too much waits for the index, and deleting goes on",
  async (t) => {
    const parent = fs.mkdtempSync(join(tmpdir(), "onespool-behind-"));
    t.teardown(() => fs.rmSync(parent, { recursive: true, force: true }));
    const directory = join(parent, "s");
    const limits = { checkpointBytes: 2_000, unwrittenBytesMax: UNWRITTEN_BYTES_MAX };
    const store = await Store.open(directory, { create: true, ...limits });
    const { index, state } = store.internals();
    const batch = index.batch.bind(index);
    let attempts = 0;
    index.batch = () => ({
      ...batch(),
      write: () => {
        attempts++;
        return Promise.reject(new Error("no index today"));
      },
    });

    const refusal = { code: "STORE_IO", message: /until the index can be written.*no index today/ };
    let files = 0;
    let refused: unknown;
    while (refused === undefined && files < FILES_MAX) {
      try {
        store.commit(create(store, `f${files}`));
        files++;
      } catch (error) {
        refused = error;
      }
      await turn();
    }
    t.match(refused, refusal, `after ${files} files`);
    t.ok(files > 20, "and not before");
    t.equal(attempts, 1, "the next attempt comes later");

    t.throws(() => store.commit(rename(store, "f1", "g")), refusal, "names could come for ever");
    const unit = store.writeUnit([Buffer.from("bytes")]);
    t.throws(() => store.flush(), refusal);
    t.equal(store.hasUnit(unit), undefined, "a unit that was refused is not there");
    store.commit(remove(store, "f0"));
    t.equal(store.lookup(1, "f0"), 0, "a file is deleted");
    await store.durable();

    // The next attempt: it hangs, and ends badly, and meanwhile nothing new is taken either.
    let fail = (): void => {};
    index.batch = () => ({
      ...batch(),
      write: () => new Promise((_resolve, reject) => (fail = () => reject(new Error("slow")))),
    });
    const failing = t.rejects(store.checkpoint(), /slow/);
    await turn();
    t.equal(state.changedBytes, 0, "all rows are with the attempt");
    t.throws(() => store.commit(create(store, "h")), refusal, "what is being written counts");
    await until(() => {
      fail();
      return state.changedBytes > 0;
    });
    await failing;

    // Refused changes are enough for another attempt to be made when its time has come.
    index.batch = batch;
    const now = performance.now.bind(performance);
    performance.now = () => now() + 60_000;
    t.teardown(() => (performance.now = now));
    t.throws(() => store.commit(create(store, "h")), { code: "STORE_IO" });
    await until(() => state.unwrittenBytes === 0);
    await turn();
    store.commit(create(store, "h"));
    await store.close();

    const report = await checkStore(directory);
    t.same(report.problems, []);
    t.equal(report.names, files, "one was deleted, and one is new");
  },
);

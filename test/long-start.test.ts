/**
 * A start that reads a log in which one segment changes more rows than are to be in memory at once: it writes
 * them to the index in pieces, and any crash between the pieces leaves a store that opens as the same.
 */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { S_IFDIR, S_IFREG } from "../fs/attributes.ts";
import type { Change } from "../fs/store/records/change.ts";
import { checkStore } from "../fs/store/check.ts";
import { IndexDb } from "../fs/store/index/index-db.ts";
import type { StoreOptions } from "../fs/store/opening.ts";
import { hasGaps } from "../fs/store/recovery/rebuild.ts";
import { SegmentFiles } from "../fs/store/log/segment-files.ts";
import { Store } from "../fs/store/store.ts";
import type { IndexKind, StoreIndex } from "../fs/store/index/store-index.ts";
import { dump } from "./store-dump.ts";

const DIRECTORIES = 900;
const CHECKPOINT_BYTES = 16 * 1024;
/** What weighs 80 bytes is one row or, if it is a name, two; and what one commit and the last rows come to. */
const BATCH_ROWS_MAX = Math.ceil((2 * CHECKPOINT_BYTES) / 80) + 100;
const small: StoreOptions = { checkpointBytes: CHECKPOINT_BYTES };

t.setTimeout(120_000);

/** LevelDB, with the number of rows in each batch; the batch with the number `failing` cannot be written. */
class CountedIndex implements IndexKind {
  readonly batches: number[] = [];
  readonly #failing: number;

  constructor(failing = Number.POSITIVE_INFINITY) {
    this.#failing = failing;
  }

  async open(store: string): Promise<StoreIndex> {
    const index: StoreIndex = await IndexDb.open(store);
    const makeBatch = index.batch.bind(index);
    index.batch = () => {
      const batch = makeBatch();
      let rows = 0;
      const count = (key: Buffer): void => {
        // Those of a rebuild alone have batches of their own size (resets.ts).
        if (key.toString("latin1", 0, 1) !== "r") rows++;
      };
      return {
        put: (key, value) => (count(key), batch.put(key, value)),
        del: (key) => (count(key), batch.del(key)),
        write: async () => {
          if (this.batches.length === this.#failing) throw new Error("the end of this process");
          this.batches.push(rows);
          await batch.write();
        },
      };
    };
    return index;
  }

  remove(store: string): void {
    IndexDb.remove(store);
  }
}

function inode(ino: number, mode: number, parent = 0): Change {
  const time = { sec: 1_700_000_000, nsec: 0 };
  const times = { atime: time, mtime: time, ctime: time };
  const nlink = parent === 0 ? 1 : 2;
  const owner = { uid: 1, gid: 2, rdev: 0, parent, target: Buffer.alloc(0) };
  return { type: "inode", ino, mode, nlink, ...owner, ...times };
}

function addFile(store: Store, parent: number, name: string, bytes: Buffer): number {
  const ino = store.newIno();
  const unit = store.writeUnit([bytes]);
  store.commit([
    inode(ino, S_IFREG | 0o600),
    { type: "name", parent, name, ino, fileType: S_IFREG },
    {
      type: "splice",
      ino,
      offset: 0,
      remove: 0,
      extents: [{ unit, offset: 0, length: bytes.length }],
    },
  ]);
  return ino;
}

/** A store whose second last segment has nearly everything; with gaps, if wanted, before that one. */
async function makeStore(directory: string, gaps: boolean): Promise<readonly string[]> {
  let store = await Store.open(directory, { create: true, segmentLength: 4_000 });
  for (let k = 0; k < (gaps ? 10 : 0); k++) {
    const ino = addFile(store, 1, "gone", Buffer.alloc(2_000, k));
    addFile(store, 1, `kept${k}`, Buffer.from(`${k}`));
    store.commit([
      { type: "unname", parent: 1, name: "gone" },
      { type: "dropInode", ino },
    ]);
  }
  if (gaps) await store.reclaim({ now: true, deadPartMin: 0 });
  await store.close();
  store = await Store.open(directory);
  for (let k = 0; k < DIRECTORIES; k++) {
    const ino = store.newIno();
    const nlink = (store.inode(1)?.nlink ?? 0) + 1;
    store.commit([
      inode(ino, S_IFDIR | 0o700, 1),
      { type: "name", parent: 1, name: `d${k}`, ino, fileType: S_IFDIR },
      { type: "attributes", ino: 1, nlink },
    ]);
    addFile(store, ino, "mail", Buffer.from(`mail ${k}`));
  }
  const rows = await dump(store);
  await store.close();
  t.equal(hasGaps(new SegmentFiles(directory)), gaps);
  return rows;
}

async function opened(directory: string, options: StoreOptions): Promise<readonly string[]> {
  const store = await Store.open(directory, { ...small, ...options });
  const rows = await dump(store);
  await store.close();
  return rows;
}

for (const gaps of [false, true]) {
  const log = gaps ? "a log with gaps" : "a whole log";
  t.test(`rows of ${log} go to the index in pieces`, async (t) => {
    const parent = fs.mkdtempSync(join(tmpdir(), "onespool-long-start-"));
    t.teardown(() => fs.rmSync(parent, { recursive: true, force: true }));
    const directory = join(parent, "s");
    const lived = await makeStore(directory, gaps);

    const indexKind = new CountedIndex();
    const first = await Store.open(directory, { ...small, rebuildIndex: true, indexKind });
    const batches = [...indexKind.batches];
    t.same(await dump(first), lived);
    await first.close();
    t.ok(batches.length > 10, `${batches.length} batches`);
    const most = Math.max(...batches);
    t.ok(most <= BATCH_ROWS_MAX, `${most} rows in one batch, of ${BATCH_ROWS_MAX}`);
    t.same((await checkStore(directory)).problems, []);

    for (let failing = 1; failing < batches.length; failing += 7) {
      const cut = new CountedIndex(failing);
      const options = { ...small, rebuildIndex: true, indexKind: cut };
      await t.rejects(Store.open(directory, options).then((store) => store.close()));
      t.same(await opened(directory, {}), lived, `after a crash before batch ${failing}`);
    }

    // A crash of a writer: a frame that is cut off, in the segment that has nearly everything.
    const last = new SegmentFiles(directory).list().at(-1) as number;
    const file = join(directory, "log", fs.readdirSync(join(directory, "log")).sort().at(-1) ?? "");
    t.ok(fs.statSync(file).size > 100_000, `segment ${last} is the long one`);
    fs.appendFileSync(file, Buffer.alloc(1_000, 7));
    const store = await Store.open(directory, { ...small, rebuildIndex: true });
    t.ok(store.recovered.tornBytes > 0, "the torn tail is cut off");
    t.same(await dump(store), lived);
    await store.close();
  });
}

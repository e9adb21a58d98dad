/** What a log with gaps need not say any more is not made up by salvaging: directories that are gone, and snapshots. */
import { randomFillSync } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { S_IFDIR, S_IFREG } from "../fs/attributes.ts";
import { salvage } from "../fs/salvage/salvage.ts";
import type { Change } from "../fs/store/records/change.ts";
import { checkStore } from "../fs/store/check.ts";
import { ROOT_INO } from "../fs/store/state/counters.ts";
import { Store } from "../fs/store/store.ts";

const segmentLength = 32 * 1024;
const MAIL_LENGTH = 8_000;
const time = { sec: 1, nsec: 0 };

function inode(ino: number, mode: number, nlink: number): Change {
  const target = Buffer.alloc(0);
  const fields = { mode, uid: 0, gid: 0, nlink, rdev: 0, parent: ROOT_INO, target };
  return { type: "inode", ino, ...fields, atime: time, mtime: time, ctime: time };
}

function name(parent: number, text: string, ino: number, fileType = S_IFREG): Change {
  return { type: "name", parent, name: text, ino, fileType };
}

function make(store: Store, text: string, parent = ROOT_INO): number {
  const ino = store.newIno();
  store.commit([inode(ino, S_IFREG | 0o600, 1), name(parent, text, ino)]);
  return ino;
}

function remove(store: Store, text: string, ino: number, parent = ROOT_INO): void {
  store.commit([
    { type: "unname", parent, name: text },
    { type: "attributes", ino, nlink: 0 },
  ]);
  store.commit([{ type: "dropInode", ino }]);
}

function append(store: Store, ino: number, mails: number): void {
  for (let k = 0; k < mails; k++) {
    const unit = store.writeUnit([randomFillSync(Buffer.alloc(MAIL_LENGTH))]);
    const extents = [{ unit, offset: 0, length: MAIL_LENGTH }];
    const offset = store.inode(ino)?.size ?? 0;
    store.commit([{ type: "splice", ino, offset, remove: 0, extents }]);
  }
}

t.test("a directory whose records are partly cleaned away is not found again", async (t) => {
  const place = fs.mkdtempSync(join(tmpdir(), "onespool-salvage-removed-"));
  t.teardown(() => fs.rmSync(place, { recursive: true, force: true }));
  const directory = join(place, "store");
  const store = await Store.open(directory, { create: true, segmentLength });
  // Segment 1 has what stays, and the names that go.
  const kept = make(store, "kept");
  const folder = store.newIno();
  store.commit([
    inode(folder, S_IFDIR | 0o755, 2),
    name(ROOT_INO, "folder", folder, S_IFDIR),
    { type: "attributes", ino: ROOT_INO, nlink: 3 },
  ]);
  const inside = make(store, "inside", folder);
  append(store, kept, 5);
  // Those after it say that they are gone, and that what stays became longer.
  const dead = make(store, "dead");
  append(store, dead, 1);
  remove(store, "inside", inside, folder);
  remove(store, "folder", folder);
  store.commit([{ type: "attributes", ino: ROOT_INO, nlink: 2 }]);
  append(store, dead, 8);
  remove(store, "dead", dead);
  append(store, kept, 5);
  const before = store.read(kept, 0, 10 * MAIL_LENGTH);
  await store.reclaim({ deadPartMin: 0.5 });
  await store.close();
  const segments = fs.readdirSync(join(directory, "log"));
  t.ok(segments.includes("00000001.seg"));
  t.notOk(segments.includes("00000002.seg"));

  const target = join(place, "new");
  const report = await salvage(directory, target);
  t.strictSame(report.files, [], "nothing of the file is said to be lost");
  t.match(await checkStore(target), { clean: true, problems: [] });
  const salvaged = await Store.open(target);
  const now = salvaged.read(salvaged.lookup(ROOT_INO, "kept"), 0, 10 * MAIL_LENGTH);
  t.ok(now.equals(before));
  await salvaged.close();
});

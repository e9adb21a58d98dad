/** The files of cleaned segments go also when the record that they may go could not be synced at once. */
import { randomFillSync } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { S_IFREG } from "../fs/attributes.ts";
import { ROOT_INO } from "../fs/store/state/counters.ts";
import type { Disk } from "../fs/store/disk/disk.ts";
import { Store } from "../fs/store/store.ts";
import { systemDisk } from "../fs/store/disk/system-disk.ts";

t.setTimeout(60_000);
const LENGTH = 8_000;
const broken = Object.assign(new Error("EIO: made for a test"), { code: "EIO" });

t.test("files that a failed sync left are removed by the next cleaning", async (t) => {
  const directory = fs.mkdtempSync(join(tmpdir(), "onespool-unsynced-"));
  t.teardown(() => fs.rmSync(directory, { recursive: true, force: true }));
  let isBroken = false;
  const disk: Disk = {
    ...systemDisk,
    fdatasync(fd) {
      if (isBroken) throw broken;
      systemDisk.fdatasync(fd);
    },
    fdatasyncLater(fd, done) {
      if (isBroken) setImmediate(() => done(broken));
      else systemDisk.fdatasyncLater(fd, done);
    },
    // The log cannot go on in another segment either.
    rename(from, to) {
      if (isBroken) throw broken;
      systemDisk.rename(from, to);
    },
  };
  const segmentLength = 64 * 1024;
  const path = join(directory, "store");
  const store = await Store.open(path, { create: true, segmentLength, disk });
  t.teardown(() => store.close());
  const time = { sec: 1, nsec: 0 };
  const times = { atime: time, mtime: time, ctime: time };
  const fields = { mode: S_IFREG | 0o600, uid: 0, gid: 0, nlink: 1, rdev: 0, parent: ROOT_INO };
  const kept = store.newIno();
  const dead = store.newIno();
  for (const ino of [kept, dead]) {
    store.commit([
      { type: "inode", ino, ...fields, ...times, target: Buffer.alloc(0) },
      { type: "name", parent: ROOT_INO, name: `${ino}`, ino, fileType: S_IFREG },
    ]);
  }
  for (let k = 0; k < 60; k++) {
    const ino = k % 10 === 0 ? kept : dead;
    const unit = store.writeUnit([randomFillSync(Buffer.alloc(LENGTH))]);
    const extents = [{ unit, offset: 0, length: LENGTH }];
    const offset = store.inode(ino)?.size ?? 0;
    store.commit([{ type: "splice", ino, offset, remove: 0, extents }]);
  }
  store.commit([
    { type: "unname", parent: ROOT_INO, name: `${dead}` },
    { type: "attributes", ino: dead, nlink: 0 },
  ]);
  store.commit([{ type: "dropInode", ino: dead }]);
  store.observer = {
    committing(changes) {
      if (changes[0]?.type === "removed") isBroken = true;
    },
    refused() {},
  };
  await t.rejects(store.reclaim(), { code: "STORE_IO" });
  store.observer = undefined;
  isBroken = false;
  for (let k = 0; k < 100; k++) {
    try {
      await store.durable();
      break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  await store.reclaim();
  const files = fs.readdirSync(join(path, "log"));
  t.equal(files.length, store.internals().state.segments.size, files.join(" "));
  t.equal(store.read(kept, 0, 6 * LENGTH).length, 6 * LENGTH);
});

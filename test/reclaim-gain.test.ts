/** Cleaning that makes nothing shorter comes to an end. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { S_IFREG } from "../fs/attributes.ts";
import { ROOT_INO } from "../fs/store/state/counters.ts";
import { Gain } from "../fs/store/reclaim/gain.ts";
import { Store } from "../fs/store/store.ts";

t.setTimeout(90_000);

t.test("cleaning is vain when the whole log was written again and is no shorter", (t) => {
  const gain = new Gain(1000, 10);
  t.notOk(gain.isVain(1300, 300), "what is moved is in the log twice for a while");
  t.notOk(gain.isVain(995, 900));
  t.notOk(gain.isVain(900, 1100), "it became shorter: counted from here on");
  t.notOk(gain.isVain(899, 1900));
  t.ok(gain.isVain(899, 2001));
  t.end();
});

t.test(
  "cleaning rests although records that are current keep the log over its bound",
  async (t) => {
    const directory = fs.mkdtempSync(join(tmpdir(), "onespool-gain-"));
    t.teardown(() => fs.rmSync(directory, { recursive: true, force: true }));
    const store = await Store.open(join(directory, "store"), {
      create: true,
      segmentLength: 64 * 1024,
    });
    t.teardown(() => store.close());
    const ino = store.newIno();
    const time = { sec: 1, nsec: 0 };
    const times = { atime: time, mtime: time, ctime: time };
    const fields = { mode: S_IFREG | 0o600, uid: 0, gid: 0, nlink: 1, rdev: 0, parent: ROOT_INO };
    let name = "a name of some length";
    store.commit([
      { type: "inode", ino, ...fields, ...times, target: Buffer.alloc(0) },
      { type: "name", parent: ROOT_INO, name, ino, fileType: S_IFREG },
    ]);
    // The first segment lives on, so it could say of the file that it has any of the names that it had.
    for (let k = 0; k < 20; k++) {
      const unit = store.writeUnit([Buffer.alloc(4096, k)]);
      const extents = [{ unit, offset: 0, length: 4096 }];
      store.commit([{ type: "splice", ino, offset: k * 4096, remove: 0, extents }]);
    }
    for (let k = 0; k < 20_000; k++) {
      const next = `a name of some length, and another one: ${k}`;
      store.commit([
        { type: "unname", parent: ROOT_INO, name },
        { type: "name", parent: ROOT_INO, name: next, ino, fileType: S_IFREG },
      ]);
      name = next;
      if (k % 1000 === 0) await store.durable();
    }
    await store.checkpoint();
    store.reclaimer.start();
    const isOver = (): boolean => {
      const { logBytes, logBytesMax } = store.reclaimer.status();
      return logBytes > logBytesMax;
    };
    t.ok(isOver());
    for (let k = 0; k < 600 && store.reclaimer.status().state === "cleaning"; k++) await pause(100);
    t.match(store.reclaimer.status(), { state: "resting" });
    t.ok(isOver(), "what is current stays");
    t.equal(store.lookup(ROOT_INO, name), ino);
  },
);

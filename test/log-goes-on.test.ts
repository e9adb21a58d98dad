/** After a sync that failed the log goes on elsewhere, where nothing is left to be synced: no descriptor is asked for. */
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { ByteWriter } from "../base/bytes.ts";
import { Log } from "../fs/store/log/log.ts";
import { SegmentFiles } from "../fs/store/log/segment-files.ts";
import { encodeChanges } from "../fs/store/records/change-codec.ts";
import { SimulatedMachine } from "./system/simulated-machine.ts";

t.test(
  "a sync that was asked for before the log went on does not open the new segment",
  async (t) => {
    const { disk } = new SimulatedMachine();
    disk.makeDirectory("/store/log");
    const syncing: ((error: Error) => void)[] = [];
    disk.fdatasyncLater = (_fd, done) => {
      syncing.push(done);
    };
    const files = new SegmentFiles("/store", disk);
    files.create(1);
    const log = new Log(files, { segment: 1, offset: files.length(1) });
    const warnings: string[] = [];
    const hear = (warning: Error): void => void warnings.push(warning.message);
    process.on("warning", hear);
    const changes = new ByteWriter(64);
    encodeChanges(changes, []);
    log.queueCommit(changes.copy());
    log.flush();
    const durable = log.durable(0);
    while (syncing.length === 0) await pause(1);

    const opened: string[] = [];
    const open = disk.open.bind(disk);
    disk.open = (path, flags) => {
      if (path.endsWith("00000002.seg")) {
        opened.push(path);
        throw Object.assign(new Error("too many open files"), { code: "EMFILE" });
      }
      return open(path, flags);
    };
    syncing[0]?.(Object.assign(new Error("made to fail"), { code: "EIO" }));
    await durable;
    await pause(50);
    t.same(opened, []);
    t.equal(log.end.segment, 2);
    t.match(warnings, [/the log goes on in segment 2/]);
    t.equal(warnings.length, 1);

    // What is written there finds no descriptor, and says so to who asked.
    log.queueCommit(changes.copy());
    t.throws(() => log.flush(), { code: "STORE_IO", message: /too many open files/ });
    disk.open = open;
    log.close();
    files.closeAll();
    process.off("warning", hear);
  },
);

t.test("a segment that cannot be opened for a sync is a sync that failed", async (t) => {
  const { disk } = new SimulatedMachine();
  disk.makeDirectory("/store/log");
  const files = new SegmentFiles("/store", disk);
  files.create(1);
  disk.open = () => {
    throw Object.assign(new Error("too many open files"), { code: "EMFILE" });
  };
  const failure = await new Promise<Error | undefined>((resolve) => files.sync(1, resolve));
  t.match(failure, {
    code: "STORE_IO",
    message: /cannot open .*00000001\.seg: too many open files/,
  });
});

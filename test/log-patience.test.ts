/** Who waits patiently for a sync gets one, also if the patience ends while a sync is under way. */
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import type { LogPosition } from "../fs/store/log/log.ts";
import { Log } from "../fs/store/log/log.ts";
import { SegmentFiles } from "../fs/store/log/segment-files.ts";
import { SimulatedMachine } from "./system/simulated-machine.ts";

const STRANDED_MS = 10_000;

t.test("patience that ends during a sync of earlier bytes leaves nobody behind", async (t) => {
  const { disk } = new SimulatedMachine();
  disk.makeDirectory("/store/log");
  const held: (() => void)[] = [];
  const later = disk.fdatasyncLater.bind(disk);
  disk.fdatasyncLater = (fd, done) => {
    held.push(() => later(fd, done));
  };
  const files = new SegmentFiles("/store", disk);
  files.create(1);
  const start: LogPosition = { segment: 1, offset: files.length(1) };
  const log = new Log(files, start);
  const write = (): void => {
    log.queueCommit(Buffer.from("a change"));
    log.flush();
  };
  write();
  const first = log.durable(0);
  while (held.length === 0) await pause(1);
  write();
  const second = log.durable(1);
  await pause(50);
  t.equal(held.length, 1, "one sync is under way");
  held.shift()?.();
  await first;
  const release = setInterval(() => held.shift()?.(), 1);
  const limit = new AbortController();
  const stranded = pause(STRANDED_MS, "stranded", { signal: limit.signal }).catch(() => "");
  t.equal(await Promise.race([second.then(() => "durable"), stranded]), "durable");
  limit.abort();
  clearInterval(release);
  log.close();
  files.closeAll();
});

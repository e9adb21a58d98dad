/** A segment that was left behind is cut for good, also when the first attempt got no further than the cut. */
import t from "tap";
import { SegmentFiles } from "../fs/store/log/segment-files.ts";
import { SimulatedMachine } from "./system/simulated-machine.ts";

t.test("a cut whose sync failed is synced by the next attempt", async (t) => {
  // What a failed sync leaves on the platter depends on how many came before it.
  for (let earlier = 0; earlier < 3; earlier++) {
    const machine = new SimulatedMachine();
    const { disk, power } = machine;
    disk.makeDirectory("/store/log");
    for (const path of ["/store", "/"]) disk.syncDirectory(path);
    const files = new SegmentFiles("/store", disk);
    files.create(1, { frames: Buffer.alloc(1000, 1) });
    const whole = files.length(1);
    const wanted = whole - 500;
    power.failAt({ call: "fsync", code: "EIO", count: earlier + 1 });
    for (let k = 0; k < earlier; k++) t.throws(() => files.seal(1, whole));
    t.throws(() => files.cutAnew(1, wanted), { code: "STORE_IO" });
    t.equal(files.length(1), wanted, "it has the length");
    files.cutAnew(1, wanted);
    const { disk: after } = machine.restarted("dropped");
    t.equal(new SegmentFiles("/store", after).length(1), wanted, "and after a power cut");
  }
});

t.test("a segment that is shorter is not made longer", async (t) => {
  const { disk } = new SimulatedMachine();
  disk.makeDirectory("/store/log");
  const files = new SegmentFiles("/store", disk);
  files.create(1);
  const length = files.length(1);
  files.cutAnew(1, length + 100);
  t.equal(files.length(1), length);
});

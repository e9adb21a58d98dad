/** Places in the log are exact, and a log ends where they would not be. */
import t from "tap";
import { offsetOf, placeOf, SEGMENT_MAX, segmentOf } from "../fs/store/records/place.ts";
import { SegmentFiles } from "../fs/store/log/segment-files.ts";
import { SimulatedMachine } from "./system/simulated-machine.ts";

t.test("places of the last segment are exact", async (t) => {
  for (const offset of [0, 1, 0xffff_fffe, 0xffff_ffff]) {
    const place = placeOf(SEGMENT_MAX, offset);
    t.ok(Number.isSafeInteger(place));
    t.same([segmentOf(place), offsetOf(place)], [SEGMENT_MAX, offset]);
  }
  t.notOk(Number.isSafeInteger(placeOf(SEGMENT_MAX + 1, 0)));
});

t.test("a segment behind the last one is refused", async (t) => {
  const { disk } = new SimulatedMachine();
  disk.makeDirectory("/store/log");
  const files = new SegmentFiles("/store", disk);
  files.create(SEGMENT_MAX);
  t.throws(() => files.create(SEGMENT_MAX + 1), { code: "STORE_IO", message: /at its end/ });
  t.same(files.list(), [SEGMENT_MAX]);
});

/** Bytes of the log that cannot be read, or are not what was written. */
import t from "tap";
import { InvariantError } from "../base/assert.ts";
import type { StoreError } from "../fs/store/errors.ts";
import { SEGMENT_HEADER_LENGTH } from "../fs/store/records/format.ts";
import { moveTail } from "../fs/store/log/log-tail.ts";
import { readFrames } from "../fs/store/log/segment-reader.ts";
import { contents, expectOne, Scene, STORE } from "./system/fault-scene.ts";

t.test(
  "a segment that cannot be read costs its readers EIO, and nobody else anything",
  async (t) => {
    const scene = new Scene();
    await scene.open();
    const { store, disk } = scene;
    // Not the numbers at which it is cleaned.
    for (let number = 0; number < 11; number++) await scene.step(number);
    for (let number = 12; number < 20; number++) await scene.step(number);
    t.ok((store.internals().files.list().at(-1) as number) > 1);
    disk.fault = (call, path) =>
      call === "read" && path.endsWith("00000001.seg") ? "EIO" : undefined;
    let [failed, read] = [0, 0];
    for (const [name, text] of scene.model) {
      const ino = store.lookup(1, name);
      for (let at = 0; at < text.length; at += 10) {
        try {
          t.equal(store.read(ino, at, 10).toString(), text.slice(at, at + 10));
          read++;
        } catch (error) {
          t.equal((error as StoreError).code, "STORE_IO");
          failed++;
        }
      }
    }
    t.ok(failed > 0 && read > 0, `${failed} reads failed, ${read} did not`);
    for (let number = 24; number < 30; number++) await scene.step(number);
    t.same(scene.refusals, [], "and changes are taken");
    disk.fault = () => undefined;
    expectOne(contents(store), [scene.model], "all of it");
    await store.close();
  },
);

t.test("what cannot be read back as it was written is not said to be durable", async (t) => {
  const scene = new Scene();
  await scene.open();
  for (let number = 0; number < 6; number++) await scene.step(number);
  const { files } = scene.store.internals();
  const segment = files.list().at(-1) as number;
  const path = `${STORE}/log/${String(segment).padStart(8, "0")}.seg`;
  const ends: number[] = [];
  readFrames(files, segment, SEGMENT_HEADER_LENGTH, (frame) => ends.push(frame.offset));
  const end = ends.at(-1) as number;
  t.ok(ends.length > 2);
  scene.machine.disk.damage(path, end - 1);
  t.throws(() => moveTail(files, segment, SEGMENT_HEADER_LENGTH, end), InvariantError);
  t.same(files.list().at(-1), segment, "the log is as it was");
  scene.machine.disk.damage(path, end - 1);
  const moved = moveTail(files, segment, SEGMENT_HEADER_LENGTH, end);
  t.equal(moved.end, end);
  t.equal(files.previousLength(segment + 1), SEGMENT_HEADER_LENGTH);
});

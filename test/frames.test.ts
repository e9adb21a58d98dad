/** Frames of a segment: those who read them for different ends find the same ones, whatever was damaged. */
import t from "tap";
import { ByteWriter } from "../base/bytes.ts";
import { encodeChanges } from "../fs/store/records/change-codec.ts";
import { chunksOf } from "../fs/store/records/chunks.ts";
import { StoreError } from "../fs/store/errors.ts";
import {
  encodeFrame,
  encodeSegmentHeader,
  FRAME_COMMIT,
  FRAME_UNIT,
  SEGMENT_HEADER_LENGTH,
} from "../fs/store/records/format.ts";
import { readFrame } from "../fs/store/log/frame.ts";
import { FrameCursor } from "../fs/store/reclaim/frame-cursor.ts";
import type { SegmentFiles } from "../fs/store/log/segment-files.ts";
import { readFrames } from "../fs/store/log/segment-reader.ts";
import { scanSegment } from "../fs/store/log/segment-scan.ts";
import { FileWindow, wholeSegment } from "../fs/store/log/segment-window.ts";
import { encodeUnitMeta } from "../fs/store/records/unit-meta.ts";

const SEED = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
const SEGMENT = 3;

let state = SEED;

function below(limit: number): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * limit);
}

function unitFrame(id: number, length: number): Buffer {
  const data = Buffer.alloc(length, `unit ${id} `);
  const lengths = [Math.ceil(length / 2), Math.floor(length / 2)];
  const head = encodeFrame(FRAME_UNIT, encodeUnitMeta(id, chunksOf([data], lengths)), length);
  return Buffer.concat([head, data]);
}

function commitFrame(id: number): Buffer {
  const out = new ByteWriter();
  encodeChanges(out, [{ type: "unpend", id }]);
  return encodeFrame(FRAME_COMMIT, out.copy(), 0);
}

function randomSegment(): Buffer {
  const parts = [encodeSegmentHeader(SEGMENT)];
  for (let id = 1; id <= 12; id++) {
    parts.push(below(3) === 0 ? commitFrame(id) : unitFrame(id, 1 + below(3000)));
  }
  parts.push(commitFrame(13));
  return Buffer.concat(parts);
}

function fileOf(bytes: Buffer): SegmentFiles {
  const file: Pick<SegmentFiles, "length" | "read"> = {
    length: () => bytes.length,
    read: (_, position, target, start, length) =>
      bytes.copy(target, start, position, position + length),
  };
  return file as SegmentFiles;
}

/** Where whole frames begin, and where the reading ended. */
function byRecovery(bytes: Buffer): number[] {
  const offsets: number[] = [];
  const read = readFrames(fileOf(bytes), SEGMENT, SEGMENT_HEADER_LENGTH, ({ offset }) => {
    offsets.push(offset);
  });
  return [...offsets, read.offset];
}

function byCleaning(bytes: Buffer): number[] {
  const cursor = new FrameCursor(fileOf(bytes), SEGMENT);
  const offsets: number[] = [];
  try {
    for (;;) {
      const { offset } = cursor;
      if (cursor.next() === undefined) break;
      offsets.push(offset);
    }
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== "STORE_DAMAGED") throw error;
  }
  return [...offsets, cursor.offset];
}

/** Up to what is bad first, and whether any data is. */
function byScan(bytes: Buffer): { offsets: number[]; firstBadData: number } {
  const offsets: number[] = [];
  let firstBadData = Infinity;
  const scan = scanSegment(bytes, SEGMENT, false, (frame) => {
    offsets.push(frame.offset);
    if (frame.kind === "commit" || frame.badChunks.length === 0) return;
    firstBadData = Math.min(firstBadData, frame.offset);
  });
  const end = scan.bad[0]?.offset ?? scan.end;
  return { offsets: [...offsets.filter((offset) => offset < end), end], firstBadData };
}

t.test("recovery, cleaning and fsck find the same frames before the first bad byte", async (t) => {
  for (let round = 0; round < 300; round++) {
    const bytes = randomSegment();
    if (round > 0) {
      const at = SEGMENT_HEADER_LENGTH + below(bytes.length - SEGMENT_HEADER_LENGTH);
      bytes.writeUInt8((bytes[at] as number) ^ (1 << below(8)), at);
    }
    const where = `round ${round}, SEED=${SEED}`;
    const { offsets, firstBadData } = byScan(bytes);
    const upToBadData = offsets.filter((offset) => offset <= firstBadData);
    if (!t.same(byCleaning(bytes), offsets, where)) break;
    if (!t.same(byRecovery(bytes), upToBadData, where)) break;
  }
});

t.test(
  "a window that reads little at once shows the same frames as the whole segment",
  async (t) => {
    const bytes = randomSegment();
    const whole = wholeSegment(bytes);
    for (const readLength of [1, 7, 64, 1000, 5000]) {
      const window = new FileWindow(fileOf(bytes), SEGMENT, readLength);
      for (let at = SEGMENT_HEADER_LENGTH; at < bytes.length;) {
        const frame = readFrame(window, at);
        if (frame.kind === "bad") throw new Error(`${frame.what}, SEED=${SEED}`);
        t.same(frame, readFrame(whole, at), `at ${at}, ${readLength} bytes at once, SEED=${SEED}`);
        at = frame.end;
      }
    }
  },
);

t.test("what fits its checksum and cannot be is no torn frame", async (t) => {
  const at = SEGMENT_HEADER_LENGTH;
  const header = encodeSegmentHeader(SEGMENT);
  const faultOf = (...parts: readonly Buffer[]): string => {
    const frame = readFrame(wholeSegment(Buffer.concat([header, ...parts])), at);
    return frame.kind === "bad" ? frame.fault : frame.kind;
  };
  const chunks = chunksOf([Buffer.from("12345")], [5]);
  const data = Buffer.from("1234");
  t.equal(faultOf(encodeFrame(FRAME_UNIT, encodeUnitMeta(1, chunks), 4), data), "malformed");
  t.equal(faultOf(encodeFrame(FRAME_UNIT, Buffer.from([0xff]), 0)), "malformed");
  t.equal(faultOf(encodeFrame(9, Buffer.from("later"), 0)), "unknown");
  const cut = unitFrame(1, 100);
  for (const length of [1, 15, 16, 20, cut.length - 1]) {
    t.equal(faultOf(cut.subarray(0, length)), "torn", `the first ${length} bytes`);
  }
  t.equal(faultOf(cut), "unit");
});

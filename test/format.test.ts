/** The bytes of docs/FORMAT.md: the worked example, every change there and back, and what is refused. */
import t from "tap";
import { ByteReader, ByteWriter, MalformedError } from "../base/bytes.ts";
import { chunksOf } from "../fs/store/records/chunks.ts";
import type { Change } from "../fs/store/records/change.ts";
import { decodeChanges, encodeChanges } from "../fs/store/records/change-codec.ts";
import {
  crc32c,
  decodeFrameHeader,
  decodeSegmentHeader,
  encodeFrame,
  encodeSegmentHeader,
  FRAME_COMMIT,
  FRAME_UNIT,
  frameChecksum,
} from "../fs/store/records/format.ts";
import { placeOf } from "../fs/store/records/place.ts";
import { decodeUnitMeta, encodeUnitMeta } from "../fs/store/records/unit-meta.ts";

function changesToBytes(changes: readonly Change[]): Buffer {
  const out = new ByteWriter();
  encodeChanges(out, changes);
  return out.copy();
}

t.test("the worked example of docs/FORMAT.md", async (t) => {
  const shared = Buffer.from("Hello all.\n");
  const own = Buffer.from("A: B: ");
  const chunks = chunksOf([shared, own], [11, 6]);
  const unit = encodeFrame(FRAME_UNIT, encodeUnitMeta(1, chunks), 17);
  const hex = unit.toString("hex", 4);
  t.equal(hex.slice(0, 32), "0e00000011000000010000000102000b");
  t.equal(hex.slice(40, 44), "0006");
  t.equal(unit.readUInt32LE(0), crc32c(unit.subarray(4)), "the frame's checksum");
  t.equal(unit.readUInt32LE(20), crc32c(shared), "the first chunk's checksum");

  const change: Change = {
    type: "deliver",
    time: { sec: 1_735_689_600, nsec: 0 },
    shared: [{ unit: 1, offset: 0, length: 11 }],
    targets: [
      { ino: 16, private: { unit: 1, offset: 11, length: 3 } },
      { ino: 17, private: { unit: 1, offset: 14, length: 3 } },
    ],
  };
  const meta = changesToBytes([change]);
  const commit = encodeFrame(FRAME_COMMIT, meta, 32);
  t.equal(
    commit.toString("hex", 4),
    ["15000000", "20000000", "02000000", "01", "04", "8096a4f70c00", "01", "02000b", "02"].join(
      "",
    ) + ["1003", "0216", "1103", "0000"].join(""),
  );
  t.equal(frameChecksum(commit, 0, meta.length), decodeFrameHeader(commit, 0).checksum);
  t.match(decodeFrameHeader(commit, 0), { dataLength: 0, durableEnd: 32 });
  t.match(decodeFrameHeader(unit, 0), { dataLength: 17, durableEnd: 0 });
});

t.test("every change comes back as it was", async (t) => {
  const time = { sec: -5, nsec: 999_999_999 };
  const extents = [
    { unit: 9, offset: 0, length: 5 },
    { unit: 0, offset: 0, length: 2 ** 40 },
    { unit: 2 ** 40, offset: 262_143, length: 1 },
  ];
  const common = { ino: 2 ** 45, uid: 4_294_967_294, gid: 0, nlink: 2, rdev: 259, parent: 1 };
  const changes: Change[] = [
    {
      type: "inode",
      ...common,
      mode: 0o120777,
      atime: time,
      mtime: time,
      ctime: time,
      target: Buffer.from("x"),
    },
    {
      type: "inode",
      ...common,
      mode: 0o100600,
      atime: time,
      mtime: time,
      ctime: time,
      target: Buffer.alloc(0),
      mapFrom: placeOf(2_097_151, 2 ** 32 - 1),
    },
    { type: "attributes", ino: 16 },
    {
      type: "attributes",
      ino: 16,
      mode: 0o100600,
      uid: 1,
      gid: 2,
      nlink: 0,
      parent: 3,
      atime: time,
      mtime: time,
      ctime: time,
    },
    { type: "splice", ino: 16, offset: 2 ** 41, remove: 7, extents },
    { type: "cut", ino: 16, offset: 2 ** 41, to: 2 ** 42 },
    { type: "map", ino: 16, offset: 0, extents, last: true },
    {
      type: "deliver",
      time,
      shared: extents,
      targets: [
        { ino: 16, private: undefined },
        { ino: 9, private: extents[0] },
        { ino: 4, private: { unit: 3, offset: 1, length: 2 } },
      ],
    },
    { type: "name", parent: 1, name: "\xff\xfe n\xfcm", ino: 16, fileType: 0o100000 },
    { type: "name", parent: 1, name: "a", ino: 16, fileType: 0o100000, before: 2 ** 33 },
    { type: "unname", parent: 1, name: "a" },
    { type: "unname", parent: 1, name: "a", before: 16 },
    { type: "absentName", parent: 1, name: "a", ino: 16, last: 7 },
    { type: "absentInode", ino: 16, last: 7 },
    { type: "absentPending", id: 16, last: 7 },
    { type: "removed", segments: [1, 4, 9, 1], nextIno: 2 ** 40, nextUnit: 5, nextPending: 1 },
    { type: "dropInode", ino: 16 },
    { type: "xattr", ino: 16, name: "user.a", value: Buffer.from([0, 1]) },
    { type: "xattr", ino: 16, name: "user.a", value: undefined },
    { type: "pend", id: 4, parent: 1, name: "a", time, mode: 0o600, uid: 8, gid: 8, extents },
    { type: "unpend", id: 4 },
  ];
  const bytes = changesToBytes(changes);
  t.same(decodeChanges(new ByteReader(bytes)), changes);
  for (let length = 0; length < bytes.length; length++) {
    const cut = (): unknown => decodeChanges(new ByteReader(bytes, 0, length));
    t.throws(cut, MalformedError, `cut at ${length}`);
  }
});

t.test("a trimmed unit's gaps come back", async (t) => {
  const chunks = [100, 50, 1, 4000, 65_536, 0xffff_ffff];
  t.same(decodeUnitMeta(encodeUnitMeta(2 ** 50, chunks)), { id: 2 ** 50, chunks });
});

t.test(
  "a segment header says version and number, and is refused when a byte differs",
  async (t) => {
    const header = encodeSegmentHeader(77);
    t.same(decodeSegmentHeader(header), { version: 1, segment: 77, previousLength: 0 });
    const behind = encodeSegmentHeader(78, 4_000_000_000);
    t.equal(decodeSegmentHeader(behind)?.previousLength, 4_000_000_000);
    for (let k = 0; k < header.length; k++) {
      const damaged = Buffer.from(header);
      damaged[k] = (damaged[k] as number) ^ 1;
      t.equal(decodeSegmentHeader(damaged), undefined, `byte ${k}`);
    }
  },
);

t.test("integers beyond 2^53 - 1 are refused", async (t) => {
  t.throws(() => new ByteReader(Buffer.alloc(9, 0xff)).varint(), MalformedError);
  for (const value of [0, 127, 128, 2 ** 31, 2 ** 32 + 5, Number.MAX_SAFE_INTEGER]) {
    const out = new ByteWriter(1);
    out.varint(value);
    t.equal(new ByteReader(out.view()).varint(), value);
  }
  for (const value of [0, -1, 1, -(2 ** 51), 2 ** 51]) {
    const out = new ByteWriter(1);
    out.signed(value);
    t.equal(new ByteReader(out.view()).signed(), value);
  }
});

/**
 * The bytes of a segment file (docs/FORMAT.md has every field and a worked example).
 *
 *     segment = header (32 bytes), frames
 *     frame   = header (16 bytes), meta, data
 *
 * The frame's checksum covers its header and meta; a unit's data has checksums of its own, one for
 * each chunk, in the meta. All integers are little-endian, all checksums CRC-32C.
 * Not here: what the meta says (unit-meta.ts, change-codec.ts).
 */
import { crc32c } from "@node-rs/crc32";

export const FORMAT_VERSION = 1;

const SEGMENT_MAGIC = Buffer.from("ONESPOOL", "latin1");
export const SEGMENT_HEADER_LENGTH = 32;
/**
 * Zeros that are written behind the last frame when the log outgrows those before. A sync of bytes that were
 * already written leaves the size alone, so the file system's journal need not be synced with them.
 */
export const ZEROS_AHEAD = 1024 * 1024;
/** A segment takes no further frame once it is as long as this. */
export const SEGMENT_LENGTH = 64 * 1024 * 1024;

export const FRAME_HEADER_LENGTH = 16;
export const FRAME_UNIT = 1;
export const FRAME_COMMIT = 2;
/** A commit with more meta is refused: 10,000 deliveries need less than a megabyte. */
export const FRAME_META_LENGTH_MAX = 64 * 1024 * 1024;

export const UNIT_LENGTH_MAX = 256 * 1024;
/** The most bytes that one checksum covers: what reading a single byte may cost. */
export const CHUNK_LENGTH_MAX = 64 * 1024;

export interface FrameHeader {
  readonly kind: number;
  readonly metaLength: number;
  /** 0 in a commit. */
  readonly dataLength: number;
  /** Of a commit: so much of the segment was on stable storage when it was written; 0: not known. */
  readonly durableEnd: number;
  readonly checksum: number;
}

/** What a segment's header says. */
export interface SegmentHeader {
  readonly version: number;
  readonly segment: number;
  /** Where the segment before it ends, if that had to be cut: a sync of it failed. 0: where its file ends. */
  readonly previousLength: number;
}

export function encodeSegmentHeader(segment: number, previousLength = 0): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_LENGTH);
  SEGMENT_MAGIC.copy(bytes, 0);
  bytes.writeUInt32LE(FORMAT_VERSION, 8);
  bytes.writeUInt32LE(previousLength, 12);
  bytes.writeBigUInt64LE(BigInt(segment), 16);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 28)), 28);
  return bytes;
}

/** What a segment header says; undefined when it is not one. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | undefined {
  if (bytes.length < SEGMENT_HEADER_LENGTH) return undefined;
  if (!bytes.subarray(0, 8).equals(SEGMENT_MAGIC)) return undefined;
  if (bytes.readUInt32LE(28) !== crc32c(bytes.subarray(0, 28))) return undefined;
  return {
    version: bytes.readUInt32LE(8),
    segment: Number(bytes.readBigUInt64LE(16)),
    previousLength: bytes.readUInt32LE(12),
  };
}

/**
 * Header and meta of a frame in one buffer; the data, if any, follows it in the file. `third`: of a unit the data's
 * length, of a commit how much of the segment is on stable storage.
 */
export function encodeFrame(kind: number, meta: Uint8Array, third: number): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEADER_LENGTH + meta.length);
  bytes.writeUInt32LE(meta.length, 4);
  bytes.writeUInt32LE(third, 8);
  bytes.writeUInt32LE(kind, 12);
  bytes.set(meta, FRAME_HEADER_LENGTH);
  bytes.writeUInt32LE(crc32c(bytes.subarray(4)), 0);
  return bytes;
}

export function decodeFrameHeader(bytes: Buffer, at: number): FrameHeader {
  const third = bytes.readUInt32LE(at + 8);
  const kind = bytes.readUInt32LE(at + 12);
  return {
    checksum: bytes.readUInt32LE(at),
    metaLength: bytes.readUInt32LE(at + 4),
    dataLength: kind === FRAME_COMMIT ? 0 : third,
    durableEnd: kind === FRAME_COMMIT ? third : 0,
    kind,
  };
}

/** The checksum that a frame's header must carry; `bytes` starts at the header. */
export function frameChecksum(bytes: Buffer, at: number, metaLength: number): number {
  return crc32c(bytes.subarray(at + 4, at + FRAME_HEADER_LENGTH + metaLength));
}

export { crc32c };

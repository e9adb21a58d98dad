/**
 * Whether every byte of a LevelDB table (*.ldb) is what was written, by the checksums of its blocks (LevelDB,
 * doc/table_format.md). LevelDB itself does not look at those of data blocks when it reads. Pure.
 *
 *     data blocks, filter block, metaindex block, index block, footer (48 bytes)
 *     each block is followed by its type (1 byte) and a masked CRC-32C of both (4 bytes)
 */
import { ByteReader, MalformedError } from "../../../../base/bytes.ts";
import { maskedChecksum } from "./masked-checksum.ts";
import { uncompress } from "./snappy.ts";

const FOOTER_LENGTH = 48;
const HANDLES_LENGTH = 40;
const TRAILER_LENGTH = 5;
const MAGIC = Buffer.from("57fb808b247547db", "hex");
const SNAPPY = 1;

interface Handle {
  readonly offset: number;
  readonly length: number;
}

/** Where the first byte that is not as it was written was noticed; undefined when all are. */
export function findTableDamage(table: Buffer): number | undefined {
  const footer = table.length - FOOTER_LENGTH;
  if (footer < 0) return 0;
  try {
    return findDamage(table, footer);
  } catch (error) {
    if (!(error instanceof MalformedError) && !(error instanceof RangeError)) throw error;
    return footer;
  }
}

function findDamage(table: Buffer, footer: number): number | undefined {
  const from = new ByteReader(table, footer, footer + HANDLES_LENGTH);
  const metaindex = readHandle(from);
  const index = readHandle(from);
  for (const byte of from.raw(from.left)) if (byte !== 0) return footer;
  if (!table.subarray(footer + HANDLES_LENGTH).equals(MAGIC)) return footer;
  if (endOf(index) !== footer || endOf(metaindex) !== index.offset) return footer;
  if (!blockFits(table, index)) return index.offset;
  if (!blockFits(table, metaindex)) return metaindex.offset;
  let at = 0;
  for (const block of blocksOf(table, index)) {
    if (block.offset !== at) return at;
    if (endOf(block) > metaindex.offset || !blockFits(table, block)) return at;
    at = endOf(block);
  }
  if (at === metaindex.offset) return undefined;
  // What is left is the filter.
  const filter = { offset: at, length: metaindex.offset - at - TRAILER_LENGTH };
  return filter.length >= 0 && blockFits(table, filter) ? undefined : at;
}

function readHandle(from: ByteReader): Handle {
  return { offset: from.varint(), length: from.varint() };
}

function endOf({ offset, length }: Handle): number {
  return offset + length + TRAILER_LENGTH;
}

function blockFits(table: Buffer, { offset, length }: Handle): boolean {
  const checksum = table.readUInt32LE(offset + length + 1);
  return maskedChecksum(table.subarray(offset, offset + length + 1)) === checksum;
}

/** The handles that the index block has for its keys, in order. */
function blocksOf(table: Buffer, { offset, length }: Handle): Handle[] {
  const stored = table.subarray(offset, offset + length);
  const index = table[offset + length] === SNAPPY ? uncompress(stored) : stored;
  const restarts = index.readUInt32LE(index.length - 4);
  const from = new ByteReader(index, 0, index.length - 4 * (restarts + 1));
  const handles: Handle[] = [];
  while (from.left > 0) {
    from.varint();
    const keyLength = from.varint();
    const valueLength = from.varint();
    from.raw(keyLength);
    handles.push(readHandle(new ByteReader(from.raw(valueLength))));
  }
  return handles;
}

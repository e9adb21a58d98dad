/**
 * The keys of the index (LevelDB). The first byte tells the kind, numbers are 6 bytes big-endian, so
 * that LevelDB's order is theirs.
 *
 *     m                      the checkpoint: log position and counters
 *     s segment              what a segment holds
 *     i inode                attributes and the root of the extent tree
 *     x inode node           a further node of the extent tree
 *     d directory name       inode, type, cookie
 *     e directory cookie     inode, type, name
 *     u unit                 place, chunks, references
 *     p pending              a delivery that waits for a lock
 *     r inode                while the index is made from a log with gaps: the place of its last snapshot
 */

const NUMBER_LENGTH = 6;

export const META_KEY = Buffer.from("m", "latin1");

function key(kind: number, first: number): Buffer {
  const bytes = Buffer.allocUnsafe(1 + NUMBER_LENGTH);
  bytes[0] = kind;
  writeNumber(bytes, first, 1);
  return bytes;
}

function longKey(kind: number, first: number, second: number): Buffer {
  const bytes = Buffer.allocUnsafe(1 + 2 * NUMBER_LENGTH);
  bytes[0] = kind;
  writeNumber(bytes, first, 1);
  writeNumber(bytes, second, 1 + NUMBER_LENGTH);
  return bytes;
}

/** As writeUIntBE, which checks more than is needed here: keys are made for every row that is written. */
function writeNumber(bytes: Buffer, number: number, at: number): void {
  const high = Math.floor(number / 0x1_0000_0000);
  bytes[at] = high >>> 8;
  bytes[at + 1] = high;
  bytes[at + 2] = number >>> 24;
  bytes[at + 3] = number >>> 16;
  bytes[at + 4] = number >>> 8;
  bytes[at + 5] = number;
}

export const inodeKey = (ino: number): Buffer => key(0x69, ino);
export const nodeKey = (ino: number, node: number): Buffer => longKey(0x78, ino, node);
export const unitKey = (unit: number): Buffer => key(0x75, unit);
export const segmentKey = (segment: number): Buffer => key(0x73, segment);
export const resetKey = (ino: number): Buffer => key(0x72, ino);
export const pendingKey = (id: number): Buffer => key(0x70, id);
export const cookieKey = (directory: number, cookie: number): Buffer =>
  longKey(0x65, directory, cookie);

export function nameKey(directory: number, name: string): Buffer {
  const bytes = Buffer.allocUnsafe(7 + name.length);
  bytes[0] = 0x64;
  writeNumber(bytes, directory, 1);
  bytes.write(name, 7, "latin1");
  return bytes;
}

/** The number at the start of a key, and the one behind it in two-number keys. */
export const firstNumber = (bytes: Buffer): number => bytes.readUIntBE(1, NUMBER_LENGTH);
export const secondNumber = (bytes: Buffer): number => bytes.readUIntBE(7, NUMBER_LENGTH);

/** The range of all keys of one kind. */
export function kindRange(kind: "s" | "i" | "x" | "d" | "e" | "u" | "p" | "r"): {
  gte: Buffer;
  lt: Buffer;
} {
  const code = kind.charCodeAt(0);
  return { gte: Buffer.from([code]), lt: Buffer.from([code + 1]) };
}

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
 */

const NUMBER_LENGTH = 6;

export const META_KEY = Buffer.from("m", "latin1");

function key(kind: string, first: number, second?: number): Buffer {
  const bytes = Buffer.allocUnsafe(second === undefined ? 7 : 13);
  bytes[0] = kind.charCodeAt(0);
  bytes.writeUIntBE(first, 1, NUMBER_LENGTH);
  if (second !== undefined) bytes.writeUIntBE(second, 7, NUMBER_LENGTH);
  return bytes;
}

export const inodeKey = (ino: number): Buffer => key("i", ino);
export const nodeKey = (ino: number, node: number): Buffer => key("x", ino, node);
export const unitKey = (unit: number): Buffer => key("u", unit);
export const segmentKey = (segment: number): Buffer => key("s", segment);
export const pendingKey = (id: number): Buffer => key("p", id);
export const cookieKey = (directory: number, cookie: number): Buffer => key("e", directory, cookie);

export function nameKey(directory: number, name: string): Buffer {
  const bytes = Buffer.allocUnsafe(7 + name.length);
  bytes[0] = 0x64;
  bytes.writeUIntBE(directory, 1, NUMBER_LENGTH);
  bytes.write(name, 7, "latin1");
  return bytes;
}

/** The number at the start of a key, and the one behind it in two-number keys. */
export const firstNumber = (bytes: Buffer): number => bytes.readUIntBE(1, NUMBER_LENGTH);
export const secondNumber = (bytes: Buffer): number => bytes.readUIntBE(7, NUMBER_LENGTH);

/** The range of all keys of one kind. */
export function kindRange(kind: "s" | "i" | "x" | "d" | "e" | "u" | "p"): {
  gte: Buffer;
  lt: Buffer;
} {
  const code = kind.charCodeAt(0);
  return { gte: Buffer.from([code]), lt: Buffer.from([code + 1]) };
}

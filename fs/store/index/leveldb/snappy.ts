/**
 * Decompresses one block in the snappy format (google/snappy, format_description.txt): the index of a table
 * may be compressed, and without it nobody knows where its blocks are. Pure.
 */

/** Throws RangeError for anything that is not a whole block. */
export function uncompress(input: Buffer): Buffer {
  let at = 0;
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = input.readUInt8(at++);
    length += (byte & 127) * 2 ** shift;
    if (byte < 128) break;
    if (shift > 28) throw new RangeError("a length of more than 32 bits");
  }
  if (length > 64 * 1024 * 1024) throw new RangeError("a block of more than 64 MiB");
  const output = Buffer.allocUnsafe(length);
  let end = 0;
  while (at < input.length) {
    const tag = input.readUInt8(at++);
    if ((tag & 3) === 0) {
      const extra = (tag >> 2) - 59;
      const count = 1 + (extra > 0 ? input.readUIntLE(at, extra) : tag >> 2);
      at += Math.max(0, extra);
      if (at + count > input.length || end + count > length) throw new RangeError("a long literal");
      input.copy(output, end, at, at + count);
      at += count;
      end += count;
      continue;
    }
    const [count, distance, width] = copyOf(input, tag, at);
    at += width;
    if (distance === 0 || distance > end || end + count > length)
      throw new RangeError("a bad copy");
    // A copy may overlap what it makes.
    for (let left = count; left > 0; left--, end++) output[end] = output[end - distance] as number;
  }
  if (end !== length) throw new RangeError("a block that ends early");
  return output;
}

/** Length, distance, and bytes behind the tag. */
function copyOf(input: Buffer, tag: number, at: number): [number, number, number] {
  switch (tag & 3) {
    case 1:
      return [4 + ((tag >> 2) & 7), ((tag >> 5) << 8) | input.readUInt8(at), 1];
    case 2:
      return [1 + (tag >> 2), input.readUInt16LE(at), 2];
    default:
      return [1 + (tag >> 2), input.readUInt32LE(at), 4];
  }
}

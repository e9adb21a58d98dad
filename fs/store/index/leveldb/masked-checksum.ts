/** LevelDB stores a CRC-32C rotated and shifted, so that a checksum of bytes with checksums in them stays one. */
import { crc32c } from "../../records/format.ts";

const MASK_DELTA = 0xa282ead8;

export function maskedChecksum(bytes: Uint8Array): number {
  const checksum = crc32c(bytes);
  return (((checksum >>> 15) | (checksum << 17)) + MASK_DELTA) >>> 0;
}

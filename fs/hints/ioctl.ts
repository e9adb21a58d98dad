/**
 * The layout of a hint in ioctl(2); native-notes/onespool.h says the same in C. Pure.
 *
 *     struct onespool_hint { uint32_t version; uint32_t length; char bytes[16368]; };
 *
 * In: the request, its line and body. Out: the reply. A restricted FUSE ioctl carries at most 16,383 bytes
 * each way (the size field of a command has 14 bits), so a longer request has to use the control file.
 */
import type { IoctlReply } from "../operations.ts";
import type { Frame } from "./frame.ts";
import { HINT_VERSION } from "./limits.ts";
import type { Refusal } from "./refusals.ts";

export const IOCTL_BYTES_MAX = 16_368;
const HEADER_LENGTH = 8;
export const IOCTL_STRUCT_LENGTH = HEADER_LENGTH + IOCTL_BYTES_MAX;

const IOC_READ_WRITE = 3;
/** _IOWR('O', 1, struct onespool_hint), as asm-generic/ioctl.h packs it. */
export const HINT_COMMAND =
  ((IOC_READ_WRITE << 30) | (IOCTL_STRUCT_LENGTH << 16) | ("O".charCodeAt(0) << 8) | 1) >>> 0;

/** Units whose tokens surely fit into a reply. */
const UNITS_WRITTEN_MAX = 1_024;

/** The request, or which field of the struct is wrong. */
export function decodeIoctl(input: Buffer): Buffer | "version" | "length" {
  if (input.length < IOCTL_STRUCT_LENGTH) return "length";
  // The struct is in the machine's byte order; every machine that Node runs on here is little-endian.
  if (input.readUInt32LE(0) !== HINT_VERSION) return "version";
  const length = input.readUInt32LE(4);
  if (length > IOCTL_BYTES_MAX) return "length";
  return input.subarray(HEADER_LENGTH, HEADER_LENGTH + length);
}

export function encodeIoctl(reply: Buffer): IoctlReply {
  const data = Buffer.alloc(IOCTL_STRUCT_LENGTH);
  data.writeUInt32LE(HINT_VERSION, 0);
  data.writeUInt32LE(reply.length, 4);
  reply.copy(data, HEADER_LENGTH);
  return { result: 0, data };
}

/** Refuses beforehand what would be done and could not be told. */
export function fitsIoctl(frame: Frame): Refusal | undefined {
  const { op, lengths } = frame.fields;
  if (op === "who") return { reason: "replyTooLong", detail: "op" };
  const many = op === "write" && Array.isArray(lengths) && lengths.length > UNITS_WRITTEN_MAX;
  return many ? { reason: "replyTooLong", detail: "lengths" } : undefined;
}

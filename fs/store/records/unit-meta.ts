/** The meta of a unit frame: the unit's id and its chunks (docs/FORMAT.md). */
import { ByteReader, ByteWriter } from "../../../base/bytes.ts";
import type { Chunks } from "./chunks.ts";
import { decodeChunks, encodeChunks } from "./chunks.ts";

export interface UnitMeta {
  readonly id: number;
  readonly chunks: Chunks;
}

const out = new ByteWriter(256);

/** Valid until the next call. */
export function encodeUnitMeta(id: number, chunks: Chunks): Buffer {
  out.reset();
  out.varint(id);
  encodeChunks(out, chunks);
  return out.view();
}

export function decodeUnitMeta(meta: Buffer): UnitMeta {
  const from = new ByteReader(meta);
  return { id: from.varint(), chunks: decodeChunks(from) };
}

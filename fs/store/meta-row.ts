/** The row that says what the index covers: everything in the log before a position. */
import { ByteReader, ByteWriter, MalformedError } from "../../base/bytes.ts";
import type { Counters } from "./counters.ts";
import { decodeCounters, encodeCounters } from "./counters.ts";
import { StoreError } from "./errors.ts";
import { FORMAT_VERSION } from "./format.ts";
import type { LogPosition } from "./log.ts";

export interface Meta {
  readonly position: LogPosition;
  readonly counters: Counters;
  readonly orphans: readonly number[];
  readonly unlinked: readonly number[];
}

export function encodeMeta(meta: Meta): Buffer {
  const out = new ByteWriter(256);
  out.varint(FORMAT_VERSION);
  out.varint(meta.position.segment);
  out.varint(meta.position.offset);
  encodeCounters(out, meta.counters);
  for (const list of [meta.orphans, meta.unlinked]) {
    out.varint(list.length);
    for (const number of list) out.varint(number);
  }
  return out.copy();
}

export function decodeMeta(bytes: Buffer): Meta {
  try {
    const from = new ByteReader(bytes);
    const version = from.varint();
    if (version > FORMAT_VERSION) {
      throw new StoreError("STORE_FORMAT", `the index has format ${version}`);
    }
    const position = { segment: from.varint(), offset: from.varint() };
    const counters = decodeCounters(from);
    const orphans = numbers(from);
    return { position, counters, orphans, unlinked: numbers(from) };
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new StoreError("INDEX_DAMAGED", `the index's first row: ${error.message}`);
  }
}

function numbers(from: ByteReader): number[] {
  const list: number[] = [];
  for (let left = from.varint(); left > 0; left--) list.push(from.varint());
  return list;
}

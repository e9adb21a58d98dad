/** The row that says what the index covers: everything in the log before a position. */
import { ByteReader, ByteWriter, MalformedError } from "../../../base/bytes.ts";
import { StoreError } from "../errors.ts";
import type { LogPosition } from "../log/log.ts";
import type { SegmentSet } from "../records/segment-set.ts";
import type { Counters } from "./counters.ts";
import { decodeCounters, encodeCounters } from "./counters.ts";

export interface Meta {
  readonly position: LogPosition;
  readonly counters: Counters;
  readonly orphans: readonly number[];
  readonly unlinked: readonly number[];
  /** Segments that cleaning has removed. */
  readonly removed: SegmentSet;
}

/** Of the index's rows. An index of another version is made anew, so that it can change with any release. */
const INDEX_VERSION = 2;
/** Stands in the place of the version while the index is made from a log with gaps: what there is, is no state. */
const UNFINISHED = 0;

export function encodeUnfinishedMeta(): Buffer {
  const out = new ByteWriter(8);
  out.varint(UNFINISHED);
  return out.copy();
}

export function encodeMeta(meta: Meta): Buffer {
  const out = new ByteWriter(256);
  out.varint(INDEX_VERSION);
  out.varint(meta.position.segment);
  out.varint(meta.position.offset);
  encodeCounters(out, meta.counters);
  for (const list of [meta.orphans, meta.unlinked, meta.removed]) {
    out.varint(list.length);
    for (const number of list) out.varint(number);
  }
  return out.copy();
}

export function decodeMeta(bytes: Buffer): Meta {
  try {
    const from = new ByteReader(bytes);
    const version = from.varint();
    if (version !== INDEX_VERSION) {
      const problem = version === UNFINISHED ? "is not finished" : `has version ${version}`;
      throw new StoreError("INDEX_DAMAGED", `the index ${problem}`);
    }
    const position = { segment: from.varint(), offset: from.varint() };
    const counters = decodeCounters(from);
    const orphans = numbers(from);
    const unlinked = numbers(from);
    return { position, counters, orphans, unlinked, removed: numbers(from) };
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

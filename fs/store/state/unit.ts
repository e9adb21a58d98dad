/** A unit's row: where it lies in the log, its chunks with their checksums, and its references. */
import type { ByteReader } from "../../../base/bytes.ts";
import { ByteWriter } from "../../../base/bytes.ts";
import { unitKey } from "../index/keys.ts";
import type { RowBatch } from "../index/row.ts";
import { Row } from "../index/row.ts";
import type { Chunks } from "../records/chunks.ts";
import { decodeChunks, encodeChunks, endOf } from "../records/chunks.ts";
import { runsWithin, unreferenced } from "./references.ts";

const out = new ByteWriter(256);

export class Unit extends Row {
  readonly id: number;
  length: number;
  /** Where the data of the first chunk stands. */
  segment: number;
  position: number;
  chunks: Chunks;
  runs: readonly number[];

  constructor(
    id: number,
    segment: number,
    position: number,
    chunks: Chunks,
    runs?: readonly number[],
  ) {
    super();
    this.id = id;
    this.segment = segment;
    this.position = position;
    this.chunks = chunks;
    this.length = endOf(chunks);
    this.runs = runs ?? unreferenced(this.length);
  }

  /** Its bytes stand elsewhere now, perhaps without some that nobody references. */
  move(segment: number, position: number, chunks: Chunks): void {
    this.segment = segment;
    this.position = position;
    this.chunks = chunks;
    this.length = endOf(chunks);
    this.runs = runsWithin(this.runs, this.length);
  }

  override get weight(): number {
    return 24 + this.chunks.length * 3 + this.runs.length * 2;
  }

  override write(batch: RowBatch): void {
    if (this.removed) batch.del(unitKey(this.id));
    else batch.put(unitKey(this.id), encodeUnit(this));
  }
}

/** Valid until the next call. */
function encodeUnit(unit: Unit): Buffer {
  out.reset();
  out.varint(unit.segment);
  out.varint(unit.position);
  encodeChunks(out, unit.chunks);
  for (const number of unit.runs) out.varint(number);
  return out.view();
}

export function decodeUnit(id: number, from: ByteReader): Unit {
  const segment = from.varint();
  const position = from.varint();
  const chunks = decodeChunks(from);
  const runs: number[] = [];
  while (from.left > 0) runs.push(from.varint());
  return new Unit(id, segment, position, chunks, runs);
}

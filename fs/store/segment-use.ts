/** What is in a segment: the row from which cleaning will choose. */
import type { ByteReader } from "../../base/bytes.ts";
import { ByteWriter } from "../../base/bytes.ts";
import { segmentKey } from "./keys.ts";
import type { RowBatch } from "./row.ts";
import { Row } from "./row.ts";

const out = new ByteWriter(32);

export class SegmentUse extends Row {
  readonly segment: number;
  /** Bytes of units in it, referenced or not. */
  unitBytes = 0;
  /** Those that are referenced. */
  liveBytes = 0;

  constructor(segment: number) {
    super();
    this.segment = segment;
  }

  override write(batch: RowBatch): void {
    if (this.removed) {
      batch.del(segmentKey(this.segment));
      return;
    }
    out.reset();
    out.varint(this.unitBytes);
    out.varint(this.liveBytes);
    batch.put(segmentKey(this.segment), out.view());
  }
}

export function decodeSegmentUse(segment: number, from: ByteReader): SegmentUse {
  const use = new SegmentUse(segment);
  use.unitBytes = from.varint();
  use.liveBytes = from.varint();
  return use;
}

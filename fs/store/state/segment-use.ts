/** What is in a segment: the row from which cleaning will choose. */
import type { ByteReader } from "../../../base/bytes.ts";
import { ByteWriter } from "../../../base/bytes.ts";
import { segmentKey } from "../index/keys.ts";
import type { RowBatch } from "../index/row.ts";
import { Row } from "../index/row.ts";

const out = new ByteWriter(32);

export class SegmentUse extends Row {
  readonly segment: number;
  /** Bytes of units in it, referenced or not. */
  unitBytes = 0;
  /** Those that are referenced. */
  liveBytes = 0;
  /**
   * Every inode and every pending delivery that has a record in this segment or in an earlier one has a
   * number below these: they tell how far back a deletion record must be kept (reclaim/survivors.ts).
   */
  endIno: number;
  endPending: number;

  constructor(segment: number, endIno: number, endPending: number) {
    super();
    this.segment = segment;
    this.endIno = endIno;
    this.endPending = endPending;
  }

  override write(batch: RowBatch): void {
    if (this.removed) {
      batch.del(segmentKey(this.segment));
      return;
    }
    out.reset();
    out.varint(this.unitBytes);
    out.varint(this.liveBytes);
    out.varint(this.endIno);
    out.varint(this.endPending);
    batch.put(segmentKey(this.segment), out.view());
  }
}

export function decodeSegmentUse(segment: number, from: ByteReader): SegmentUse {
  const unitBytes = from.varint();
  const liveBytes = from.varint();
  const endIno = from.varint();
  const use = new SegmentUse(segment, endIno, from.varint());
  use.unitBytes = unitBytes;
  use.liveBytes = liveBytes;
  return use;
}

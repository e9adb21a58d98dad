/** A delivery that waits for a lock, as a row; its fields are those of the change that made it. */
import { ByteReader, ByteWriter } from "../../../base/bytes.ts";
import { pendingKey } from "../index/keys.ts";
import type { RowBatch } from "../index/row.ts";
import { Row } from "../index/row.ts";
import { decodeChanges, encodeChanges } from "../records/change-codec.ts";
import type { PendChange } from "../records/change.ts";

const out = new ByteWriter(512);

export type PendingDelivery = Omit<PendChange, "type">;

export class Pending extends Row {
  readonly change: PendChange;

  constructor(change: PendChange) {
    super();
    this.change = change;
  }

  override write(batch: RowBatch): void {
    if (this.removed) {
      batch.del(pendingKey(this.change.id));
      return;
    }
    out.reset();
    encodeChanges(out, [this.change]);
    batch.put(pendingKey(this.change.id), out.view());
  }
}

export function decodePending(bytes: Buffer): Pending | undefined {
  const change = decodeChanges(new ByteReader(bytes))[0];
  return change?.type === "pend" ? new Pending(change) : undefined;
}

/**
 * A delivery with `copies`: every file but the first gets units of its own with the shared bytes, so that nothing
 * is linked. They are written before the mailboxes are looked for, a piece at a time, and others get their turn in
 * between; what no file got in the end is dropped.
 */
import type { Extent } from "../store/records/change.ts";
import { UNIT_LENGTH_MAX } from "../store/records/format.ts";
import type { Store } from "../store/store.ts";
import type { HintsContext, Requester } from "./context.ts";
import type { DeliverRequest } from "./deliver-request.ts";
import type { Frame } from "./frame.ts";
import { COPIES_BYTES_MAX } from "./limits.ts";
import type { Refusal } from "./refusals.ts";
import { collectShared } from "./shared-pieces.ts";

/** Bytes that are written without giving way. */
const STEP_BYTES = 1024 * 1024;

type Source = Buffer | Extent;

/** Throws StoreError. */
export async function withCopies<T>(
  context: HintsContext,
  requester: Requester,
  frame: Frame,
  request: DeliverRequest,
  deliver: (copies: readonly (readonly Extent[])[]) => Promise<T>,
): Promise<T | Refusal> {
  const sources = sourcesOf(requester, frame, request);
  if ("reason" in sources) return sources;
  const count = request.paths.length - 1;
  let bytes = 0;
  for (const { length } of sources) bytes += length * count;
  if (bytes > COPIES_BYTES_MAX) return { reason: "copiesTooLong" };
  const full = requester.units.charge(bytes);
  if (full !== undefined) return { reason: full };
  const copies = Array.from({ length: count }, (): Extent[] => []);
  try {
    const refusal = await writeCopies(context, sources, copies);
    return refusal ?? (await deliver(copies));
  } finally {
    // Those that files got stay.
    for (const { unit } of copies.flat()) context.store.dropUnit(unit);
    requester.units.discharge(bytes);
  }
}

/** What every file gets, in pieces that fit into a unit. */
function sourcesOf(
  requester: Requester,
  frame: Frame,
  request: DeliverRequest,
): readonly Source[] | Refusal {
  const shared = collectShared(requester, request);
  if ("reason" in shared) return shared;
  const sources: Source[] = [];
  let inline = 0;
  for (const part of shared) {
    if (typeof part !== "number") {
      sources.push(...part);
      continue;
    }
    for (const end = inline + part; inline < end;) {
      const next = Math.min(end, inline + UNIT_LENGTH_MAX);
      sources.push(frame.body.subarray(inline, next));
      inline = next;
    }
  }
  return sources;
}

async function writeCopies(
  { store }: HintsContext,
  sources: readonly Source[],
  copies: readonly Extent[][],
): Promise<Refusal | undefined> {
  let step = 0;
  for (const source of sources) {
    for (const copy of copies) {
      if (step >= STEP_BYTES) {
        store.flush();
        await new Promise((resolve) => setImmediate(resolve));
        step = 0;
      }
      const bytes = bytesOf(store, source);
      if (bytes === undefined) return { reason: "unitGone" };
      copy.push({ unit: store.writeUnit([bytes]), offset: 0, length: bytes.length });
      step += bytes.length;
    }
  }
  store.flush();
  return undefined;
}

/** A unit may have been forgotten since. */
function bytesOf(store: Store, source: Source): Buffer | undefined {
  if (Buffer.isBuffer(source)) return source;
  const { unit, offset, length } = source;
  const isThere = store.hasUnit(unit, offset, length) !== undefined;
  return isThere ? store.readUnit(unit, offset, length) : undefined;
}

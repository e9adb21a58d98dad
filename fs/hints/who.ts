/**
 * The operation `who`: which ranges of a file are shared, and with how many places of other files or of this one.
 * Root only: a reader who learnt it would know how many others have a message. Who they are is not told: that is
 * known only to whoever reads all files.
 */
import { isRegular } from "../attributes.ts";
import type { Extent } from "../store/records/change.ts";
import type { Store } from "../store/store.ts";
import type { HintsContext, Requester } from "./context.ts";
import type { Frame } from "./frame.ts";
import { WHO_PIECES_MAX } from "./limits.ts";
import { PathWalker } from "./path-walker.ts";
import type { Refusal } from "./refusals.ts";
import { isRefusal } from "./refusals.ts";
import type { Answer } from "./reply.ts";
import { readWho } from "./request.ts";

/** A run of a file's bytes that lie in one unit and are in equally many other places. */
export interface SharedPiece {
  readonly offset: number;
  readonly length: number;
  /** 0: a hole, stored nowhere. */
  readonly unit: number;
  readonly unitOffset: number;
  readonly others: number;
}

/** Extents are looked at this many bytes of the file at a time, and others get their turn in between. */
const STEP_BYTES = 256 * 1024;

export async function who(
  context: HintsContext,
  requester: Requester,
  frame: Frame,
): Promise<Answer | Refusal> {
  const request = readWho(frame);
  if (isRefusal(request)) return request;
  const { path, offset } = request;
  if (requester.opener.uid !== 0) return { reason: "onlyRoot", path: path.given };
  const walker = new PathWalker(context.store, requester.opener);
  const reason = walker.resolve(path.bytes);
  if (reason !== undefined) return { reason, path: path.given };
  const { inode } = walker;
  if (inode === undefined) return { reason: "notFound", path: path.given };
  if (!isRegular(inode.mode)) return { reason: "notRegular", path: path.given };
  return piecesOf(context.store, inode.ino, offset);
}

/** A file that changes meanwhile is told of as it was found, part by part. */
async function piecesOf(store: Store, ino: number, from: number): Promise<Answer> {
  const pieces: SharedPiece[] = [];
  let at = from;
  for (; at < (store.inode(ino)?.size ?? 0); at += STEP_BYTES) {
    if (pieces.length >= WHO_PIECES_MAX) {
      // The last one may go on behind what was looked at.
      const last = pieces.pop() as SharedPiece;
      return { size: store.inode(ino)?.size ?? 0, pieces, next: last.offset };
    }
    let offset = at;
    for (const extent of store.extents(ino, at, STEP_BYTES)) {
      addPieces(pieces, offset, extent, store.unitReferences(extent.unit) ?? []);
      offset += extent.length;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { size: store.inode(ino)?.size ?? 0, pieces };
}

/** Cuts an extent where the number of references changes. `runs`: [length, count, ...] over the whole unit. Pure. */
export function addPieces(
  pieces: SharedPiece[],
  offset: number,
  extent: Extent,
  runs: readonly number[],
): void {
  if (extent.unit === 0) {
    addPiece(pieces, { offset, length: extent.length, unit: 0, unitOffset: 0, others: 0 });
    return;
  }
  let at = 0;
  for (let k = 0; k + 1 < runs.length; k += 2) {
    const end = at + (runs[k] as number);
    const start = Math.max(at, extent.offset);
    const length = Math.min(end, extent.offset + extent.length) - start;
    at = end;
    if (length <= 0) continue;
    addPiece(pieces, {
      offset: offset + start - extent.offset,
      length,
      unit: extent.unit,
      unitOffset: start,
      others: (runs[k + 1] as number) - 1,
    });
  }
}

function addPiece(pieces: SharedPiece[], piece: SharedPiece): void {
  const last = pieces.at(-1);
  const continues =
    last !== undefined &&
    last.unit === piece.unit &&
    last.others === piece.others &&
    (piece.unit === 0 || last.unitOffset + last.length === piece.unitOffset);
  if (continues) pieces[pieces.length - 1] = { ...last, length: last.length + piece.length };
  else pieces.push(piece);
}

/**
 * How the bytes of a delivery lie in units. Pure.
 *
 * To many files: the shared bytes, then every file's private ones, which is the order in which they come.
 * To a single file: its private bytes first, so that private and shared make one extent.
 * A unit is full at UNIT_LENGTH_MAX; private bytes are not cut, shared ones are.
 *
 * Reading a byte costs its whole chunk, so private bytes, which are read a hundred at a time, lie in
 * small chunks of their own, cut between files.
 */
import type { Extent } from "../store/records/change.ts";
import { CHUNK_LENGTH_MAX, UNIT_LENGTH_MAX } from "../store/records/format.ts";

/** Bytes of a chunk of private bytes, unless one file's are more. */
export const PRIVATE_CHUNK_LENGTH_MAX = 4_096;

export interface UnitLayout {
  readonly parts: readonly Buffer[];
  readonly chunkLengths: readonly number[];
}

export interface Layout {
  readonly units: readonly UnitLayout[];
  /** Where the shared bytes begin in the stream that is cut into units. */
  readonly sharedStart: number;
  /** For each file, the unit that holds its private bytes and where. */
  readonly privateUnits: Uint32Array;
  readonly privateOffsets: Uint32Array;
}

/** A unit while it is filled with a range of the body. */
class Filling {
  length = 0;
  readonly chunkLengths: number[] = [];
  #privateChunk = 0;

  shared(length: number): void {
    this.length += length;
    for (let left = length; left > 0; left -= CHUNK_LENGTH_MAX) {
      this.chunkLengths.push(Math.min(left, CHUNK_LENGTH_MAX));
    }
  }

  private(length: number): void {
    this.length += length;
    if (this.#privateChunk > 0 && this.#privateChunk + length > PRIVATE_CHUNK_LENGTH_MAX) {
      this.endChunk();
    }
    this.#privateChunk += length;
  }

  endChunk(): void {
    if (this.#privateChunk > 0) this.chunkLengths.push(this.#privateChunk);
    this.#privateChunk = 0;
  }
}

/** `body`: the shared bytes and then the private ones of each file. */
export function layOut(
  body: Buffer,
  sharedLength: number,
  privateLengths: readonly number[],
): Layout {
  if (privateLengths.length === 1) return layOutSingle(body, sharedLength);
  const units: UnitLayout[] = [];
  const privateUnits = new Uint32Array(privateLengths.length);
  const privateOffsets = new Uint32Array(privateLengths.length);
  let start = 0;
  let filling = new Filling();
  const end = (): void => {
    if (filling.length === 0) return;
    filling.endChunk();
    const parts = [body.subarray(start, start + filling.length)];
    units.push({ parts, chunkLengths: filling.chunkLengths });
    start += filling.length;
    filling = new Filling();
  };
  for (let left = sharedLength; left > 0; left -= UNIT_LENGTH_MAX) {
    filling.shared(Math.min(left, UNIT_LENGTH_MAX));
    if (left > UNIT_LENGTH_MAX) end();
  }
  for (let index = 0; index < privateLengths.length; index++) {
    const length = privateLengths[index] as number;
    if (filling.length + length > UNIT_LENGTH_MAX) end();
    privateUnits[index] = units.length;
    privateOffsets[index] = filling.length;
    filling.private(length);
  }
  end();
  return { units, sharedStart: 0, privateUnits, privateOffsets };
}

function layOutSingle(body: Buffer, sharedLength: number): Layout {
  const own = body.subarray(sharedLength);
  const units: UnitLayout[] = [];
  let parts = own.length === 0 ? [] : [own];
  let room = UNIT_LENGTH_MAX - own.length;
  for (let at = 0; at < sharedLength || parts.length > 0;) {
    const taken = Math.min(room, sharedLength - at);
    if (taken > 0) parts.push(body.subarray(at, at + taken));
    at += taken;
    const filling = new Filling();
    filling.shared(UNIT_LENGTH_MAX - room + taken);
    units.push({ parts, chunkLengths: filling.chunkLengths });
    parts = [];
    room = UNIT_LENGTH_MAX;
  }
  const zero = new Uint32Array(1);
  return { units, sharedStart: own.length, privateUnits: zero, privateOffsets: zero };
}

/** How many extents addSharedExtents adds. */
export function sharedExtentCount(layout: Layout, offset: number, length: number): number {
  if (length === 0) return 0;
  const at = layout.sharedStart + offset;
  const last = at + length - 1;
  return Math.floor(last / UNIT_LENGTH_MAX) - Math.floor(at / UNIT_LENGTH_MAX) + 1;
}

/** Adds the extents of `length` shared bytes from `offset` on; `ids` are those of the layout's units. */
export function addSharedExtents(
  layout: Layout,
  ids: readonly number[],
  offset: number,
  length: number,
  extents: Extent[],
): void {
  let at = layout.sharedStart + offset;
  const end = at + length;
  while (at < end) {
    const inUnit = at % UNIT_LENGTH_MAX;
    const piece = Math.min(UNIT_LENGTH_MAX - inUnit, end - at);
    const unit = ids[(at - inUnit) / UNIT_LENGTH_MAX] as number;
    extents.push({ unit, offset: inUnit, length: piece });
    at += piece;
  }
}

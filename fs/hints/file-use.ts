/** What a file's bytes take in the store, for root. */
import type { Store } from "../store/store.ts";

export interface FileUse {
  /** Bytes that are not holes. */
  readonly storedBytes: number;
  /** Those of them that more than one extent refers to, of this file or of others. */
  readonly sharedBytes: number;
}

/** Extents are looked at this many bytes of the file at a time, and others get their turn in between. */
const STEP_BYTES = 1024 * 1024;

/** A file that changes meanwhile is counted as it was found, part by part. */
export async function fileUse(store: Store, ino: number): Promise<FileUse> {
  let storedBytes = 0;
  let sharedBytes = 0;
  for (let at = 0; at < (store.inode(ino)?.size ?? 0); at += STEP_BYTES) {
    if (at > 0) await new Promise((resolve) => setImmediate(resolve));
    if (store.inode(ino) === undefined) break;
    for (const { unit, offset, length } of store.extents(ino, at, STEP_BYTES)) {
      if (unit === 0) continue;
      storedBytes += length;
      sharedBytes += sharedIn(store.unitReferences(unit) ?? [], offset, length);
    }
  }
  return { storedBytes, sharedBytes };
}

/** `runs`: [length, count, ...] over the whole unit. Pure. */
function sharedIn(runs: readonly number[], offset: number, length: number): number {
  let shared = 0;
  let at = 0;
  for (let k = 0; k + 1 < runs.length && at < offset + length; k += 2) {
    const end = at + (runs[k] as number);
    if ((runs[k + 1] as number) > 1) {
      shared += Math.max(0, Math.min(end, offset + length) - Math.max(at, offset));
    }
    at = end;
  }
  return shared;
}

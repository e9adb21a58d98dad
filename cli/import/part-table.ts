/**
 * Where bytes were seen first, by their digest: a table of bounded size in typed arrays. What it says is a hint
 * and is compared with the bytes before anything relies on it.
 *
 * A bucket has eight entries. At its full size an entry replaces another one of its bucket, so that beyond
 * that many parts fewer equal ones are found. 28 bytes for each entry: 235 MB at the full size.
 */
import { hash } from "node:crypto";

export interface PartPlace {
  readonly file: number;
  readonly offset: number;
}

/** 128 bits of a SHA-256. */
const DIGEST_WORDS = 4;
const WAYS = 8;
const BUCKETS_MIN = 1 << 10;
export const PARTS_MAX = 1 << 23;

export type Digest = readonly [number, number, number, number];

export function digestOf(bytes: Buffer): Digest {
  const digest = hash("sha256", bytes, "buffer");
  return [
    digest.readUInt32LE(0),
    digest.readUInt32LE(4),
    digest.readUInt32LE(8),
    digest.readUInt32LE(12),
  ];
}

interface Arrays {
  readonly buckets: number;
  readonly digests: Uint32Array;
  /** One more than the file's number; 0 is a free entry. */
  readonly files: Uint32Array;
  readonly offsets: Float64Array;
}

function arraysOf(buckets: number): Arrays {
  const entries = buckets * WAYS;
  return {
    buckets,
    digests: new Uint32Array(entries * DIGEST_WORDS),
    files: new Uint32Array(entries),
    offsets: new Float64Array(entries),
  };
}

export class PartTable {
  readonly #bucketsMax: number;
  #arrays: Arrays;

  /** `partsMax`: a power of two, at least 8,192. */
  constructor(partsMax: number = PARTS_MAX) {
    this.#bucketsMax = partsMax / WAYS;
    this.#arrays = arraysOf(Math.min(BUCKETS_MIN, this.#bucketsMax));
  }

  /** Entries that there is memory for now. */
  get capacity(): number {
    return this.#arrays.files.length;
  }

  find(digest: Digest): PartPlace | undefined {
    const { files, offsets } = this.#arrays;
    const entry = this.#entryOf(digest);
    if (entry === undefined) return undefined;
    return { file: files[entry]! - 1, offset: offsets[entry]! };
  }

  /** A place that was known for these bytes is replaced. */
  set(digest: Digest, { file, offset }: PartPlace): void {
    while (!this.#place(this.#arrays, digest, file + 1, offset, false)) {
      if (this.#arrays.buckets >= this.#bucketsMax) {
        this.#place(this.#arrays, digest, file + 1, offset, true);
        return;
      }
      this.#grow();
    }
  }

  #entryOf(digest: Digest): number | undefined {
    const { buckets, digests, files } = this.#arrays;
    const first = (digest[0] % buckets) * WAYS;
    for (let entry = first; entry < first + WAYS; entry++) {
      if (files[entry] !== 0 && holds(digests, entry, digest)) return entry;
    }
    return undefined;
  }

  #place(to: Arrays, digest: Digest, file: number, offset: number, always: boolean): boolean {
    const first = (digest[0] % to.buckets) * WAYS;
    let chosen = always ? first + (digest[1] % WAYS) : -1;
    for (let entry = first; entry < first + WAYS; entry++) {
      if (to.files[entry] !== 0 && !holds(to.digests, entry, digest)) continue;
      chosen = entry;
      if (to.files[entry] !== 0) break;
    }
    if (chosen === -1) return false;
    to.digests.set(digest, chosen * DIGEST_WORDS);
    to.files[chosen] = file;
    to.offsets[chosen] = offset;
    return true;
  }

  #grow(): void {
    const from = this.#arrays;
    const to = arraysOf(from.buckets * 2);
    for (let entry = 0; entry < from.files.length; entry++) {
      if (from.files[entry] === 0) continue;
      const at = entry * DIGEST_WORDS;
      const words = from.digests.subarray(at, at + DIGEST_WORDS);
      const digest = [...words] as unknown as Digest;
      // A bucket's entries go to two buckets of the larger table: there is always room.
      this.#place(to, digest, from.files[entry]!, from.offsets[entry]!, true);
    }
    this.#arrays = to;
  }
}

function holds(digests: Uint32Array, entry: number, digest: Digest): boolean {
  const at = entry * DIGEST_WORDS;
  for (let word = 0; word < DIGEST_WORDS; word++) {
    if (digests[at + word] !== digest[word]) return false;
  }
  return true;
}

/**
 * Records that outlive the process that writes them, in two files whose descriptors somebody else holds too. A record
 * is there as soon as append returns: these are plain writes to memory, which kill -9 does not take back. They do
 * not survive the machine, and need not: neither does the mount.
 *
 *     file   = header (24 bytes: magic, version, generation, 0, length of the snapshot), snapshot, records since
 *     record = length of what follows (4 bytes), length of the text (4), text (JSON), bytes
 *
 * When the file in use has grown, what still counts is written to the other one, whose header comes last; then the first
 * one is emptied.
 * Invariant: the file with a whole header and the greater generation has everything; a record at its end that is
 * cut short was never acted upon.
 */
import { fstatSync, ftruncateSync, readSync, writeSync, writevSync } from "node:fs";

const MAGIC = 0x4f53_544a;
/**
 * Goes up with every change of what a record says: a successor may be of another release than the process that died. One
 * that it does not know is as good as none, and the mount is replaced.
 */
const VERSION = 1;
const HEADER_LENGTH = 24;
const headerField = { magic: 0, version: 4, generation: 8, length: 16 } as const;
/** Written again when it is longer than this and than some times what counted then. */
const LENGTH_MIN = 1024 * 1024;
const GROWTH = 4;

export interface JournalRecord {
  readonly text: Readonly<Record<string, unknown>>;
  readonly bytes: Buffer | undefined;
}

interface Active {
  readonly index: 0 | 1;
  readonly generation: number;
  length: number;
}

export class MemoryJournal {
  readonly #descriptors: readonly [number, number];
  #active: Active;
  #rewriteAt = LENGTH_MIN;
  #failed = false;
  /** Since there was room last. */
  #hasWarned = false;

  constructor(descriptors: readonly [number, number]) {
    this.#descriptors = descriptors;
    const lengths = descriptors.map((descriptor) => generationOf(descriptor));
    const index = lengths[1]! > lengths[0]! ? 1 : 0;
    this.#active = { index, generation: lengths[index]!, length: HEADER_LENGTH };
  }

  /** What is there; none in a new one. rewrite() comes before the first append. */
  read(): JournalRecord[] {
    const { index, generation } = this.#active;
    if (generation === 0) return [];
    const descriptor = this.#descriptors[index];
    const all = Buffer.allocUnsafe(fstatSync(descriptor).size);
    const length = readSync(descriptor, all, 0, all.length, 0);
    const records: JournalRecord[] = [];
    for (let at = HEADER_LENGTH; at + 8 <= length;) {
      const end = at + 4 + all.readUInt32LE(at);
      const textEnd = at + 8 + all.readUInt32LE(at + 4);
      if (end > length || textEnd > end) break;
      const text = JSON.parse(all.toString("utf8", at + 8, textEnd)) as JournalRecord["text"];
      // A copy: what is kept of one record must not keep the whole file.
      const bytes = textEnd === end ? undefined : Buffer.from(all.subarray(textEnd, end));
      records.push({ text, bytes });
      at = end;
    }
    return records;
  }

  /** Whether it is time for rewrite(). */
  get isLong(): boolean {
    return this.#active.length > this.#rewriteAt;
  }

  /** Nothing is kept: memory is short. Whoever comes next cannot take over, until begin() and rewrite() have room again. */
  get failed(): boolean {
    return this.#failed;
  }

  begin(): void {
    this.#failed = false;
  }

  /** Returns where the bytes stand, for readBack(); undefined when there is no room: the record is not there. */
  append(text: JournalRecord["text"], bytes?: Buffer): number | undefined {
    if (this.#failed) return undefined;
    const head = encodeHead(text, bytes?.length ?? 0);
    const { index, length: at } = this.#active;
    try {
      this.#write(index, at, bytes === undefined ? [head] : [head, bytes]);
    } catch {
      // What was written of it would stand behind the next one.
      ftruncateSync(this.#descriptors[index], at);
      return undefined;
    }
    this.#active.length += head.length + (bytes?.length ?? 0);
    return at + head.length;
  }

  /** Bytes of a record that was appended since the last rewrite(). */
  readBack(at: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    if (!this.#failed) readSync(this.#descriptors[this.#active.index], bytes, 0, length, at);
    return bytes;
  }

  /** These are all that counts from now on. Returns where the bytes of each record stand; none when it failed. */
  rewrite(records: readonly JournalRecord[]): readonly number[] {
    if (this.#failed) return [];
    const index = this.#active.index === 0 ? 1 : 0;
    const other = this.#descriptors[this.#active.index];
    let places: number[];
    try {
      places = this.#writeAll(index, records);
    } catch {
      // Without room for both, the earlier one goes first.
      ftruncateSync(other, 0);
      try {
        places = this.#writeAll(index, records);
      } catch (error) {
        this.fail((error as Error).message);
        return [];
      }
    }
    ftruncateSync(other, 0);
    return places;
  }

  #writeAll(index: 0 | 1, records: readonly JournalRecord[]): number[] {
    const generation = this.#active.generation + 1;
    const places: number[] = [];
    let at = HEADER_LENGTH;
    ftruncateSync(this.#descriptors[index], 0);
    for (const { text, bytes } of records) {
      const head = encodeHead(text, bytes?.length ?? 0);
      this.#write(index, at, bytes === undefined ? [head] : [head, bytes]);
      places.push(at + head.length);
      at += head.length + (bytes?.length ?? 0);
    }
    const header = Buffer.alloc(HEADER_LENGTH);
    header.writeUInt32LE(MAGIC, headerField.magic);
    header.writeUInt32LE(VERSION, headerField.version);
    header.writeUInt32LE(generation, headerField.generation);
    header.writeBigUInt64LE(BigInt(at), headerField.length);
    this.#write(index, 0, [header]);
    this.#active = { index, generation, length: at };
    this.#rewriteAt = Math.max(LENGTH_MIN, at * GROWTH);
    this.#hasWarned = false;
    return places;
  }

  #write(index: 0 | 1, at: number, parts: readonly Buffer[]): void {
    const descriptor = this.#descriptors[index];
    let length = 0;
    for (const part of parts) length += part.length;
    const [first] = parts;
    const written =
      parts.length === 1 && first !== undefined
        ? writeSync(descriptor, first, 0, length, at)
        : writevSync(descriptor, parts, at);
    if (written !== length) throw new Error(`${written} of ${length} bytes written`);
  }

  fail(reason: string): void {
    this.#failed = true;
    for (const descriptor of this.#descriptors) ftruncateSync(descriptor, 0);
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    process.emitWarning(`open files would not survive the end of this process: ${reason}`);
  }
}

/** 0: nothing in it counts. */
function generationOf(descriptor: number): number {
  const header = Buffer.alloc(HEADER_LENGTH);
  const length = readSync(descriptor, header, 0, HEADER_LENGTH, 0);
  if (length < HEADER_LENGTH || header.readUInt32LE(headerField.magic) !== MAGIC) return 0;
  if (header.readUInt32LE(headerField.version) !== VERSION) return 0;
  const isWhole = Number(header.readBigUInt64LE(headerField.length)) <= fstatSync(descriptor).size;
  return isWhole ? header.readUInt32LE(headerField.generation) : 0;
}

function encodeHead(text: JournalRecord["text"], bytesLength: number): Buffer {
  const json = JSON.stringify(text);
  const length = Buffer.byteLength(json);
  const head = Buffer.allocUnsafe(8 + length);
  head.writeUInt32LE(4 + length + bytesLength, 0);
  head.writeUInt32LE(length, 4);
  head.write(json, 8);
  return head;
}

/**
 * The segment files of one store: creating, opening, reading, appending, syncing. The only code of the
 * log that calls the disk. Failures come as StoreError: ENOSPC and EDQUOT as STORE_FULL, the rest as STORE_IO.
 */
import { join } from "node:path";
import type { Disk } from "../disk/disk.ts";
import { systemDisk } from "../disk/system-disk.ts";
import { writeWholeFile } from "../disk/whole-file.ts";
import { StoreError } from "../errors.ts";
import {
  isUnfinishedSegment,
  logDirectory,
  segmentNumber,
  segmentPath,
  tornPath,
  unfinishedSegmentPath,
} from "../paths.ts";
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  SEGMENT_HEADER_LENGTH,
} from "../records/format.ts";
import { SEGMENT_MAX } from "../records/place.ts";

/** Segments that are open for reading at once. */
const OPEN_MAX = 512;
/** Buffers that are not longer together are copied into one. */
const JOINED_LENGTH_MAX = 16 * 1024;
const RENEWED_AT_ONCE = 1024 * 1024;
const NO_FRAMES = Buffer.alloc(0);

/** What a segment begins with: where the one before it was cut (0: it was not), and frames. */
export interface Beginning {
  readonly previousLength?: number;
  readonly frames?: Buffer;
}

export function storageError(what: string, error: unknown): StoreError {
  const { code, message } = error as NodeJS.ErrnoException;
  const full = code === "ENOSPC" || code === "EDQUOT";
  return new StoreError(full ? "STORE_FULL" : "STORE_IO", `${what}: ${message}`, { cause: error });
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}

export class SegmentFiles {
  readonly #store: string;
  readonly #disk: Disk;
  readonly #open = new Map<number, number>();
  readonly #join = Buffer.allocUnsafeSlow(JOINED_LENGTH_MAX);
  /** The segment that the log is appended to: its descriptor may be in a pool thread's hands. */
  #pinned = 0;

  constructor(store: string, disk: Disk = systemDisk) {
    this.#store = store;
    this.#disk = disk;
  }

  /** Numbers of the segments that exist, ascending. */
  list(): number[] {
    const numbers: number[] = [];
    for (const name of this.#names()) {
      const number = segmentNumber(name);
      if (number !== undefined) numbers.push(number);
    }
    return numbers.sort((a, b) => a - b);
  }

  #names(): string[] {
    const path = logDirectory(this.#store);
    try {
      return this.#disk.list(path);
    } catch (error) {
      throw storageError(`cannot read the directory ${path}`, error);
    }
  }

  path(segment: number): string {
    return segmentPath(this.#store, segment);
  }

  /** This segment's descriptor stays what it is until another one is pinned. */
  pin(segment: number): void {
    this.#pinned = segment;
  }

  /**
   * A new segment with its header and perhaps frames; bytes and name are on stable storage when this returns. When
   * it throws, the name may be there all the same: the next call for this number takes its place.
   */
  create(segment: number, { previousLength = 0, frames = NO_FRAMES }: Beginning = {}): void {
    if (segment > SEGMENT_MAX) {
      throw new StoreError(
        "STORE_IO",
        `the log of ${this.#store} is at its end: it has had ${SEGMENT_MAX} segments, and a store has no more; ` +
          "copy the mail from its mount to that of a new store",
      );
    }
    const path = segmentPath(this.#store, segment);
    const unfinished = unfinishedSegmentPath(this.#store, segment);
    // A descriptor of an earlier attempt.
    this.close(segment);
    try {
      const header = encodeSegmentHeader(segment, previousLength);
      writeWholeFile(this.#disk, unfinished, Buffer.concat([header, frames]));
      this.#disk.rename(unfinished, path);
      this.#disk.syncDirectory(logDirectory(this.#store));
    } catch (error) {
      this.#removeQuietly(unfinished);
      throw storageError(`cannot create ${path}`, error);
    }
  }

  /** What a crash left of segments that were being made. */
  removeUnfinished(): void {
    for (const name of this.#names()) {
      if (isUnfinishedSegment(name)) this.#removeQuietly(join(logDirectory(this.#store), name));
    }
  }

  /** Best effort: the file is nothing to anybody, and the next one of its kind takes its place. */
  #removeQuietly(path: string): void {
    try {
      this.#disk.unlink(path);
    } catch {}
  }

  /** The end of the segment before `segment`, if its header says that it was cut; 0 if not. */
  previousLength(segment: number): number {
    const bytes = Buffer.alloc(SEGMENT_HEADER_LENGTH);
    this.read(segment, 0, bytes, 0, bytes.length);
    return decodeSegmentHeader(bytes)?.previousLength ?? 0;
  }

  /**
   * Cuts a segment that could not be synced, through a descriptor that has seen no failure; the length is on stable
   * storage when this returns. One that has the length already may have it in the system's cache alone.
   */
  cutAnew(segment: number, length: number): void {
    this.close(segment);
    if (this.length(segment) >= length) this.seal(segment, length);
  }

  /**
   * Writes a range of the file as it is there, and syncs it: what an earlier process could not sync may be in the
   * system's cache alone, and no longer be known there as not written.
   */
  renew(segment: number, from: number, to: number): void {
    const bytes = Buffer.allocUnsafe(Math.min(RENEWED_AT_ONCE, to - from));
    for (let at = from; at < to; at += bytes.length) {
      const count = this.read(segment, at, bytes, 0, Math.min(bytes.length, to - at));
      this.#write(segment, at, [bytes.subarray(0, count)]);
    }
    this.syncNow(segment);
  }

  /** One that is not there is removed already. */
  remove(segment: number): void {
    this.close(segment);
    const path = segmentPath(this.#store, segment);
    try {
      this.#disk.unlink(path);
    } catch (error) {
      if (!isMissing(error)) throw storageError(`cannot remove ${path}`, error);
    }
  }

  /** The same, while others get their turn. Nobody may ask for the segment any more. */
  removeLater(segment: number): Promise<void> {
    this.close(segment);
    const path = segmentPath(this.#store, segment);
    return new Promise((resolve, reject) => {
      this.#disk.unlinkLater(path, (error) => {
        if (error === null || isMissing(error)) resolve();
        else reject(storageError(`cannot remove ${path}`, error));
      });
    });
  }

  descriptor(segment: number): number {
    const known = this.#open.get(segment);
    if (known !== undefined) return known;
    const path = segmentPath(this.#store, segment);
    let fd: number;
    try {
      fd = this.#disk.open(path, "r+");
    } catch (error) {
      throw storageError(`cannot open ${path}`, error);
    }
    this.#remember(segment, fd);
    return fd;
  }

  length(segment: number): number {
    const path = segmentPath(this.#store, segment);
    try {
      return this.#disk.length(path);
    } catch (error) {
      throw storageError(`cannot look at ${path}`, error);
    }
  }

  /** Fills the buffer from a position; returns how many bytes there were. */
  read(segment: number, position: number, target: Buffer, start: number, length: number): number {
    const fd = this.descriptor(segment);
    let done = 0;
    try {
      while (done < length) {
        const count = this.#disk.read(fd, target, start + done, length - done, position + done);
        if (count === 0) break;
        done += count;
      }
    } catch (error) {
      throw storageError(`cannot read segment ${segment} at ${position}`, error);
    }
    return done;
  }

  /** Writes all the buffers at a position; after a failure the file ends there. */
  append(segment: number, position: number, buffers: readonly Buffer[]): void {
    try {
      this.#write(segment, position, this.#joined(buffers));
    } catch (error) {
      this.truncate(segment, position);
      throw error;
    }
  }

  #write(segment: number, position: number, buffers: Buffer[]): void {
    const fd = this.descriptor(segment);
    let rest = buffers;
    let at = position;
    try {
      while (rest.length > 0) {
        let count =
          rest.length === 1
            ? this.#disk.write(fd, rest[0] as Buffer, at)
            : this.#disk.writev(fd, rest.slice(0, 1024), at);
        at += count;
        while (rest.length > 0 && count >= (rest[0] as Buffer).length) {
          count -= (rest[0] as Buffer).length;
          rest = rest.slice(1);
        }
        if (count > 0) rest[0] = (rest[0] as Buffer).subarray(count);
      }
    } catch (error) {
      throw storageError(`cannot write segment ${segment}`, error);
    }
  }

  /** A few short buffers as one: a plain write is cheaper than a gathering one. Valid until the next call. */
  #joined(buffers: readonly Buffer[]): Buffer[] {
    let length = 0;
    for (const buffer of buffers) length += buffer.length;
    if (length > JOINED_LENGTH_MAX) return [...buffers];
    let at = 0;
    for (const buffer of buffers) {
      this.#join.set(buffer, at);
      at += buffer.length;
    }
    return [this.#join.subarray(0, length)];
  }

  truncate(segment: number, length: number): void {
    try {
      this.#disk.truncate(this.descriptor(segment), length);
    } catch (error) {
      throw storageError(`cannot cut segment ${segment} to ${length} bytes`, error);
    }
  }

  /** Cuts a segment that gets no further frame; size and bytes are on stable storage afterwards. */
  seal(segment: number, length: number): void {
    this.truncate(segment, length);
    try {
      this.#disk.fsync(this.descriptor(segment));
    } catch (error) {
      throw storageError(`cannot sync segment ${segment}`, error);
    }
  }

  /** Copies what stands behind `offset` into a file of its own beside the segment; returns its path. */
  saveTail(segment: number, offset: number): string {
    const path = tornPath(this.#store, segment, offset);
    try {
      const bytes = Buffer.alloc(this.length(segment) - offset);
      this.read(segment, offset, bytes, 0, bytes.length);
      writeWholeFile(this.#disk, path, bytes);
      this.#disk.syncDirectory(logDirectory(this.#store));
    } catch (error) {
      throw error instanceof StoreError ? error : storageError(`cannot write ${path}`, error);
    }
    return path;
  }

  syncNow(segment: number): void {
    try {
      this.#disk.fdatasync(this.descriptor(segment));
    } catch (error) {
      throw storageError(`cannot sync segment ${segment}`, error);
    }
  }

  /** Of the segment that is pinned: its descriptor stays open meanwhile. `done` is called in a later turn. */
  sync(segment: number, done: (error: StoreError | undefined) => void): void {
    let fd: number;
    try {
      fd = this.descriptor(segment);
    } catch (error) {
      setImmediate(done, error as StoreError);
      return;
    }
    this.#disk.fdatasyncLater(fd, (error) => {
      done(error === null ? undefined : storageError(`cannot sync segment ${segment}`, error));
    });
  }

  close(segment: number): void {
    const fd = this.#open.get(segment);
    if (fd === undefined) return;
    this.#open.delete(segment);
    this.#disk.close(fd);
  }

  #remember(segment: number, fd: number): void {
    for (const oldest of this.#open.keys()) {
      if (this.#open.size < OPEN_MAX) break;
      if (oldest !== this.#pinned) this.close(oldest);
    }
    this.#open.set(segment, fd);
  }

  closeAll(): void {
    for (const segment of this.#open.keys()) this.close(segment);
  }
}

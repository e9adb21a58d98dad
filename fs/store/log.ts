/**
 * The end of the segment log: frames are queued, written together, and made durable in groups.
 *
 * Invariants:
 * - the queue is written by one append; what follows in the log was queued later;
 * - behind the last frame there are only zeros, and none in a segment that is not the last;
 * - a segment is synced before its successor is created, so only the last one can have a torn tail;
 * - after a failed sync nothing is acknowledged any more: every call throws (STORE_IO).
 */
import type { Chunks } from "./chunks.ts";
import {
  encodeFrame,
  FRAME_COMMIT,
  FRAME_META_LENGTH_MAX,
  FRAME_UNIT,
  SEGMENT_HEADER_LENGTH,
  SEGMENT_LENGTH,
  ZEROS_AHEAD,
} from "./format.ts";
import { StoreError } from "./errors.ts";
import type { SegmentFiles } from "./segment-files.ts";
import { encodeUnitMeta } from "./unit-meta.ts";

/**
 * A sync that only one waits for is made in this thread while syncs are faster than this (an average): the way
 * through a pool thread and back costs a lone writer about as much as the sync itself. Others wait no
 * longer than for one such sync, and those who come meanwhile share the next one.
 */
const INLINE_SYNC_MS_MAX = 0.7;
/** And only while there was rarely more than one: with several, the thread has better things to do. */
const INLINE_WAITERS_MAX = 1.3;
/** The weight of the newest sync in both averages. */
const NEWEST_WEIGHT = 0.1;

const ZEROS = Buffer.alloc(ZEROS_AHEAD);

export interface LogPosition {
  readonly segment: number;
  readonly offset: number;
}

interface Waiter {
  readonly upTo: number;
  resolve(): void;
  reject(error: Error): void;
}

export class Log {
  readonly #files: SegmentFiles;
  readonly #segmentLength: number;
  #segment: number;
  /** Where the next written byte goes. */
  #offset: number;
  /** Where the zeros behind the last frame end. */
  #zerosEnd: number;
  #queue: Buffer[] = [];
  #queuedLength = 0;
  /** Bytes appended and bytes known to be durable since this log was opened. */
  #appended = 0;
  #synced = 0;
  /** A sync is under way, or will start in this turn's check phase. */
  #syncing = false;
  #syncMs = INLINE_SYNC_MS_MAX / 2;
  #waitersMean = 1;
  #waiters: Waiter[] = [];
  #failure: StoreError | undefined;

  constructor(files: SegmentFiles, end: LogPosition, segmentLength = SEGMENT_LENGTH) {
    this.#files = files;
    this.#segment = end.segment;
    this.#offset = end.offset;
    this.#zerosEnd = end.offset;
    files.pin(end.segment);
    this.#segmentLength = segmentLength;
  }

  /** Behind everything written; there must be nothing in the queue. */
  get end(): LogPosition {
    return { segment: this.#segment, offset: this.#offset };
  }

  get appended(): number {
    return this.#appended;
  }

  /** Queues a unit; returns where its data will stand. */
  queueUnit(id: number, chunks: Chunks, parts: readonly Uint8Array[]): LogPosition {
    this.#beginBatch();
    let length = 0;
    for (const part of parts) length += part.length;
    const frame = encodeFrame(FRAME_UNIT, encodeUnitMeta(id, chunks), length);
    const position = this.#offset + this.#queuedLength + frame.length;
    this.#push(frame);
    for (const part of parts) {
      this.#push(Buffer.from(part.buffer, part.byteOffset, part.byteLength));
    }
    return { segment: this.#segment, offset: position };
  }

  queueCommit(meta: Buffer): void {
    if (meta.length > FRAME_META_LENGTH_MAX) {
      throw new StoreError("STORE_IO", `a commit of ${meta.length} bytes is over the limit`);
    }
    this.#beginBatch();
    this.#push(encodeFrame(FRAME_COMMIT, meta, 0));
  }

  /** Writes the queue. After an error nothing of it is in the log. */
  flush(): void {
    if (this.#queue.length === 0) return;
    const queue = this.#queue;
    const length = this.#queuedLength;
    this.#queue = [];
    this.#queuedLength = 0;
    try {
      this.#append(queue, length);
    } catch (error) {
      // A full disk refuses this change only. Anything else leaves it unknown what the file holds now.
      if (error instanceof StoreError && error.code !== "STORE_FULL") throw this.#fail(error);
      throw error;
    }
    this.#offset += length;
    this.#appended += length;
  }

  /** The zeros go: a log that is not appended to ends with its last frame. */
  trim(): void {
    if (this.#zerosEnd > this.#offset) this.#files.truncate(this.#segment, this.#offset);
    this.#zerosEnd = this.#offset;
  }

  #append(queue: Buffer[], length: number): void {
    const start = this.#offset;
    const end = start + length;
    const known = this.#zerosEnd;
    // What a failed append leaves: nothing behind the last frame.
    this.#zerosEnd = start;
    if (end <= known) {
      this.#files.append(this.#segment, start, queue);
      this.#zerosEnd = known;
      return;
    }
    try {
      this.#files.append(this.#segment, start, [...queue, ZEROS]);
      this.#zerosEnd = end + ZEROS.length;
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== "STORE_FULL") throw error;
      this.#files.append(this.#segment, start, queue);
      this.#zerosEnd = end;
    }
  }

  /** What is queued is not wanted: a change that was refused. */
  discardQueue(): void {
    this.#queue = [];
    this.#queuedLength = 0;
  }

  /** Resolves when everything flushed so far is on stable storage. */
  durable(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#synced >= this.#appended) return Promise.resolve();
    const { promise, resolve, reject } = withResolvers();
    this.#waiters.push({ upTo: this.#appended, resolve, reject });
    this.#startSync();
    return promise;
  }

  #push(bytes: Buffer): void {
    this.#queue.push(bytes);
    this.#queuedLength += bytes.length;
  }

  #beginBatch(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#queue.length > 0 || this.#offset < this.#segmentLength) return;
    const next = this.#segment + 1;
    try {
      this.#files.seal(this.#segment, this.#offset);
    } catch (error) {
      throw this.#fail(error as StoreError);
    }
    this.#settle(this.#appended);
    this.#files.create(next);
    this.#files.pin(next);
    this.#segment = next;
    this.#offset = SEGMENT_HEADER_LENGTH;
    this.#zerosEnd = SEGMENT_HEADER_LENGTH;
  }

  #startSync(): void {
    if (this.#syncing || this.#waiters.length === 0) return;
    this.#syncing = true;
    // Behind the requests that have already arrived: they join.
    setImmediate(() => this.#sync());
  }

  #sync(): void {
    const upTo = this.#appended;
    const start = performance.now();
    const done = (error: StoreError | undefined): void => {
      this.#syncMs += (performance.now() - start - this.#syncMs) * NEWEST_WEIGHT;
      this.#syncing = false;
      if (error === undefined) this.#settle(upTo);
      else this.#fail(error);
      this.#startSync();
    };
    this.#waitersMean += (this.#waiters.length - this.#waitersMean) * NEWEST_WEIGHT;
    if (this.#waitersMean > INLINE_WAITERS_MAX || this.#syncMs > INLINE_SYNC_MS_MAX) {
      this.#files.sync(this.#segment, done);
      return;
    }
    let failure: StoreError | undefined;
    try {
      this.#files.syncNow(this.#segment);
    } catch (error) {
      failure = error as StoreError;
    }
    done(failure);
  }

  #settle(upTo: number): void {
    this.#synced = Math.max(this.#synced, upTo);
    const waiters = this.#waiters;
    this.#waiters = waiters.filter((waiter) => waiter.upTo > this.#synced);
    for (const waiter of waiters) if (waiter.upTo <= this.#synced) waiter.resolve();
  }

  #fail(error: StoreError): StoreError {
    if (this.#failure === undefined) {
      const message = `the log failed, so nothing more is accepted until the store is opened again: ${error.message}`;
      this.#failure = new StoreError("STORE_IO", message, { cause: error });
      process.emitWarning(message);
    }
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.reject(this.#failure);
    return this.#failure;
  }
}

function withResolvers(): {
  promise: Promise<void>;
  resolve: () => void;
  reject: (error: Error) => void;
} {
  let resolve!: () => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}

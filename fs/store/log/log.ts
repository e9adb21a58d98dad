/**
 * The end of the segment log: frames are queued, written together, and made durable in groups.
 *
 * Invariants:
 * - the queue is written by one append; what follows in the log was queued later;
 * - behind the last frame there are only zeros, and none in a segment that is not the last;
 * - a segment is synced before its successor is created, so only the last one can have a torn tail;
 * - while a sync is under way the segment stays the last one: its failure tells of this segment alone;
 * - after a failed sync, or a write that leaves it open what the file holds, nothing is acknowledged and every call
 *   throws (STORE_IO), until the frames since the last sync stand in a new segment (log-tail.ts). That is tried
 *   at once and then again after pauses; the descriptor that failed is never synced again;
 * - a segment that was left so is cut before its successor gets one.
 */
import type { Claim, Room } from "../disk/room.ts";
import { NO_RESERVE } from "../disk/room.ts";
import { StoreError } from "../errors.ts";
import type { Chunks } from "../records/chunks.ts";
import {
  encodeFrame,
  FRAME_COMMIT,
  FRAME_META_LENGTH_MAX,
  FRAME_UNIT,
  SEGMENT_HEADER_LENGTH,
  SEGMENT_LENGTH,
} from "../records/format.ts";
import { encodeUnitMeta } from "../records/unit-meta.ts";
import { LastSegment } from "./last-segment.ts";
import type { MovedTail } from "./log-tail.ts";
import { moveTail } from "./log-tail.ts";
import type { SegmentFiles } from "./segment-files.ts";
import { SyncPace } from "./sync-pace.ts";
import { SyncWaiters } from "./sync-waiters.ts";

/** Pauses between attempts to go on after a failure: twice as long each time. */
const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 30_000;

export interface LogPosition {
  readonly segment: number;
  readonly offset: number;
}

export interface LogOptions {
  /** Segments are ended at this length (bytes). */
  readonly segmentLength?: number | undefined;
  /** What is kept back for when the disk is full. */
  readonly room?: Room;
  /** Called in the turn in which a part of the log came to stand elsewhere. */
  readonly onMoved?: (moved: MovedTail) => void;
}

export class Log {
  readonly #files: SegmentFiles;
  /** Segments are ended at this length (bytes). */
  readonly segmentLength: number;
  readonly #last: LastSegment;
  /** What of the last segment is known to be on stable storage. */
  #syncedOffset: number;
  #queue: Buffer[] = [];
  #queuedLength = 0;
  /** Bytes appended and bytes known to be durable since this log was opened. */
  #appended = 0;
  #synced = 0;
  /** A sync is under way, or will start in this turn's check phase. */
  #syncing = false;
  /** One is under way in another thread. */
  #inPool = false;
  readonly #pace = new SyncPace();
  readonly #waiters = new SyncWaiters(() => this.#startSync());
  #failure: StoreError | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #retryMs = RETRY_MS_MIN;
  /** A segment whose end is to be cut: what stood there is in its successor. */
  #uncut: LogPosition | undefined;
  #moves = 0;
  /** The last segment is ended before it is full. */
  #isEnding = false;
  readonly #onMoved: (moved: MovedTail) => void;
  readonly #room: Room;

  /** Everything up to `end` is on stable storage. */
  constructor(files: SegmentFiles, end: LogPosition, options: LogOptions = {}) {
    this.#files = files;
    this.#last = new LastSegment(files, end);
    this.#syncedOffset = end.offset;
    this.segmentLength = options.segmentLength ?? SEGMENT_LENGTH;
    this.#room = options.room ?? NO_RESERVE;
    this.#onMoved = options.onMoved ?? (() => {});
  }

  /** Nothing more is tried. */
  close(): void {
    clearTimeout(this.#retryTimer);
  }

  /** How often a part of the log went to another segment: positions from before may mean nothing since. */
  get moves(): number {
    return this.#moves;
  }

  /** Behind everything written; there must be nothing in the queue. */
  get end(): LogPosition {
    return { segment: this.#last.number, offset: this.#last.end };
  }

  /** Behind what is queued too. */
  get queuedEnd(): LogPosition {
    return { segment: this.#last.number, offset: this.#last.end + this.#queuedLength };
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
    this.#push(frame);
    const position = this.queuedEnd;
    for (const part of parts) {
      this.#push(Buffer.from(part.buffer, part.byteOffset, part.byteLength));
    }
    return position;
  }

  /** Returns where the commit will stand. */
  queueCommit(meta: Buffer): LogPosition {
    if (meta.length > FRAME_META_LENGTH_MAX) {
      throw new StoreError("STORE_IO", `a commit of ${meta.length} bytes is over the limit`);
    }
    this.#beginBatch();
    const position = this.queuedEnd;
    this.#push(encodeFrame(FRAME_COMMIT, meta, this.#syncedOffset));
    return position;
  }

  /** Segments below this one get no more frames, and are as long as they will stay. */
  get firstUnsettled(): number {
    return this.#uncut?.segment ?? this.#last.number;
  }

  /** Whether something was queued and not yet written. */
  get hasQueued(): boolean {
    return this.#queue.length > 0;
  }

  /** Writes the queue. After an error nothing of it is in the log. */
  flush(claim: Claim = "grow"): void {
    if (this.#queue.length === 0) return;
    const queue = this.#queue;
    const length = this.#queuedLength;
    this.#queue = [];
    this.#queuedLength = 0;
    try {
      this.#room.admit(claim);
      this.#withRoom(claim, length, () => this.#last.append(queue, length));
    } catch (error) {
      // A full disk refuses this change only. Anything else leaves it unknown what the file holds now.
      if (error instanceof StoreError && error.code !== "STORE_FULL") throw this.#fail(error);
      throw error;
    }
    this.#appended += length;
  }

  /** Does it again as long as the disk is full and some of the reserve can be given back. */
  #withRoom<T>(claim: Claim, length: number, write: () => T): T {
    for (;;) {
      try {
        return write();
      } catch (error) {
        if (!(error instanceof StoreError) || error.code !== "STORE_FULL") throw error;
        if (!this.#room.give(claim, length)) throw error;
      }
    }
  }

  /** The zeros go: a log that is not appended to ends with its last frame. */
  trim(): void {
    this.#cut();
    this.#last.trim();
  }

  /** What is queued is not wanted: a change that was refused. */
  discardQueue(): void {
    this.#queue = [];
    this.#queuedLength = 0;
  }

  /**
   * Resolves when everything flushed so far is on stable storage. A patient caller has written much: it waits some time for
   * a sync that others ask for, and is content with a pool thread, so that others neither wait in this
   * thread for it, nor do their syncs look slow.
   */
  durable(patienceMs?: number): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#synced >= this.#appended) return Promise.resolve();
    return this.#waiters.add(this.#appended, patienceMs);
  }

  #push(bytes: Buffer): void {
    this.#queue.push(bytes);
    this.#queuedLength += bytes.length;
  }

  #beginBatch(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#queue.length > 0 || this.#inPool) return;
    if (this.#last.end < this.segmentLength && !this.#isEnding) return;
    this.#goToNextSegment();
  }

  /**
   * Ends the last segment, although it is not full, so that it can be cleaned. False: somebody is writing or syncing, and it is
   * to be asked for again. Throws StoreError; then whoever writes next tries it first.
   */
  endSegment(): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#queue.length > 0 || this.#syncing) return false;
    this.#isEnding = true;
    this.#goToNextSegment();
    return true;
  }

  #goToNextSegment(): void {
    this.#cut();
    this.#seal();
    const next = this.#last.number + 1;
    this.#withRoom("clean", SEGMENT_HEADER_LENGTH, () => this.#files.create(next));
    this.#beginAt({ segment: next, offset: SEGMENT_HEADER_LENGTH });
  }

  #seal(): void {
    try {
      this.#last.seal();
    } catch (error) {
      throw this.#fail(error as StoreError);
    }
    this.#syncedOffset = this.#last.end;
    this.#settle(this.#appended);
  }

  /** Goes on in a segment that is on stable storage up to there. */
  #beginAt(end: LogPosition): void {
    this.#isEnding = false;
    this.#last.moveTo(end);
    this.#syncedOffset = end.offset;
  }

  /** Throws StoreError. */
  #cut(): void {
    if (this.#uncut === undefined) return;
    this.#files.cutAnew(this.#uncut.segment, this.#uncut.offset);
    this.#uncut = undefined;
  }

  #startSync(): void {
    if (this.#syncing || this.#waiters.count === 0) return;
    this.#syncing = true;
    // Behind the requests that have already arrived: they join.
    setImmediate(() => this.#sync());
  }

  #sync(): void {
    // Nobody waits any more when the log has gone on elsewhere meanwhile.
    if (this.#failure !== undefined || this.#waiters.count === 0) {
      this.#syncing = false;
      return;
    }
    const upTo = this.#appended;
    const { segment, offset } = this.end;
    const start = performance.now();
    const isPatient = this.#waiters.arePatient;
    const done = (error: StoreError | undefined): void => {
      if (!isPatient) this.#pace.end(performance.now() - start);
      this.#syncing = false;
      this.#inPool = false;
      if (error === undefined) {
        if (segment === this.#last.number) this.#syncedOffset = offset;
        this.#settle(upTo);
      } else this.#fail(error);
      if (this.#failure !== undefined) setImmediate(() => this.#goOn());
      // The patient ones have asked for a later time.
      if (this.#waiters.isAnyUrgent) this.#startSync();
    };
    if (!isPatient) this.#pace.begin(this.#waiters.count);
    // A segment that is long enough is synced here, or it would grow as long as there is always a sync under way.
    if ((isPatient || !this.#pace.isInline) && offset < this.segmentLength) {
      this.#inPool = true;
      this.#files.sync(segment, done);
      return;
    }
    let failure: StoreError | undefined;
    try {
      this.#files.syncNow(segment);
    } catch (error) {
      failure = error as StoreError;
    }
    done(failure);
  }

  #settle(upTo: number): void {
    this.#synced = Math.max(this.#synced, upTo);
    this.#waiters.settle(this.#synced);
  }

  /** Who waits goes on waiting for the first attempt to go on, which comes as soon as this turn's work is done. */
  #fail(error: StoreError): StoreError {
    if (this.#failure !== undefined) return this.#failure;
    const message = `nothing more is accepted until the log can be written again: ${error.message}`;
    this.#failure = new StoreError("STORE_IO", message, { cause: error });
    this.#retryMs = RETRY_MS_MIN;
    setImmediate(() => this.#goOn());
    return this.#failure;
  }

  /** What was not synced goes to a new segment, and the log goes on there. */
  #goOn(): void {
    const failure = this.#failure;
    // A sync's end comes first, and calls this.
    if (failure === undefined || this.#inPool) return;
    clearTimeout(this.#retryTimer);
    // So does who fills the queue.
    if (this.#queue.length > 0) {
      setImmediate(() => this.#goOn());
      return;
    }
    const end = this.#last.end;
    const from = this.#syncedOffset;
    let moved: MovedTail;
    try {
      this.#cut();
      moved = this.#withRoom("free", end - from, () =>
        moveTail(this.#files, this.#last.number, from, end),
      );
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#failed(failure, error);
      return;
    }
    this.#failure = undefined;
    this.#moves++;
    this.#uncut = { segment: moved.segment, offset: from };
    this.#beginAt({ segment: moved.to, offset: moved.end });
    this.#onMoved(moved);
    process.emitWarning(
      `the log goes on in segment ${moved.to}, with ${end - from} bytes that segment ${moved.segment} ` +
        `did not take (${(failure.cause as Error).message})`,
    );
    try {
      this.#cut();
    } catch (error) {
      process.emitWarning(`${(error as Error).message}; it is tried again`);
    }
    this.#settle(this.#appended);
  }

  #failed(failure: StoreError, error: StoreError): void {
    if (this.#retryMs === RETRY_MS_MIN) {
      process.emitWarning(`${failure.message}; and then: ${error.message}. It is tried again`);
    }
    this.#waiters.rejectAll(failure);
    this.#retryTimer = setTimeout(() => this.#goOn(), this.#retryMs).unref();
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS_MAX);
  }
}

/**
 * A store: units, inodes and names on disk, changed atomically and made durable in groups.
 *
 *     writeUnit(bytes) ... commit(changes) -> in the log (survives kill -9) -> durable() -> on the disk
 *
 * All methods but open, close, durable and DirectoryStream.read are synchronous. An Inode or Unit
 * that a method returns is alive and read-only, and may be held until the caller's next await.
 * Not here: what a caller may do (fs/files, fs/delivery), locks, the kernel.
 *
 * The folders, of which each uses only those before it (the linter sees to that):
 *
 *     records   what the log's bytes mean: frames, changes, chunks
 *     disk      the calls on files, and the room kept back for a full disk
 *     log       segments: appending, syncing, reading frames
 *     index     rows by key, in LevelDB
 *     state     rows in memory: changes applied to them, checkpoints of them into the index
 *     recovery  the state brought to the log's end at a start, or made from the log alone
 *     reclaim   segments cleaned and removed
 *     check     fsck; it sees everything
 */
import { assert, InvariantError } from "../../base/assert.ts";
import { ByteWriter } from "../../base/bytes.ts";
import type { Time } from "../attributes.ts";
import { systemEvery } from "../timers.ts";
import { DirectoryStream } from "./directory-stream.ts";
import { unlockStore } from "./directory.ts";
import type { Disk, Space } from "./disk/disk.ts";
import type { Reserve } from "./disk/reserve.ts";
import type { Claim } from "./disk/room.ts";
import { claimOf } from "./disk/room.ts";
import { StoreError } from "./errors.ts";
import type { StoreIndex } from "./index/store-index.ts";
import type { Log, LogPosition } from "./log/log.ts";
import type { SegmentFiles } from "./log/segment-files.ts";
import type { Opened, StoreOptions } from "./opening.ts";
import { openStore } from "./opening.ts";
import { STEP_LIMITS } from "./reclaim/host.ts";
import type { ReclaimOptions, ReclaimReport } from "./reclaim/reclaimer.ts";
import { Reclaimer } from "./reclaim/reclaimer.ts";
import type { DeadUse } from "./reclaim/waiting.ts";
import { deadUse } from "./reclaim/waiting.ts";
import { encodeChanges } from "./records/change-codec.ts";
import type { Change, Extent } from "./records/change.ts";
import { chunkLengthsOf, chunksOf, stores } from "./records/chunks.ts";
import { SEGMENT_LENGTH } from "./records/format.ts";
import type { Recovered } from "./recovery/recovery.ts";
import type { SpaceUse } from "./space-use.ts";
import { spaceUse } from "./space-use.ts";
import { addUnit, apply, dropUnlinked, dropUnwritten } from "./state/apply.ts";
import { Checkpoints } from "./state/checkpoints.ts";
import { ROOT_INO } from "./state/counters.ts";
import { withFormerInodes } from "./state/former-inodes.ts";
import type { Inode } from "./state/inode.ts";
import type { PendingDelivery } from "./state/pending.ts";
import { rootInode } from "./state/root.ts";
import type { State } from "./state/state.ts";
import { UnitReader } from "./state/unit-reader.ts";
import { Unit } from "./state/unit.ts";
import { validate } from "./state/validate.ts";
import type { StoreStatistics } from "./statistics.ts";
import { statisticsOf } from "./statistics.ts";

/** Changes that nobody asked to be durable are synced after this time at the latest. */
export const SYNC_INTERVAL_MS = 5_000;

/** Told of each commit before it is written (fs/takeover/). */
export interface CommitObserver {
  /** When the log ends at or behind `end`, the changes are in it. */
  committing(changes: readonly Change[], end: LogPosition): void;
  /** The commit that was announced last was not written. */
  refused(): void;
}

/** What a check of the whole store looks at (check.ts, tests); nobody else. */
export interface StoreInternals {
  readonly state: State;
  readonly files: SegmentFiles;
  readonly index: StoreIndex;
}

export class Store {
  readonly directory: string;
  /** What the start had to do. */
  readonly recovered: Recovered;
  /** Whether the start made the index anew from the log: it was asked to, or LevelDB could not open it. */
  readonly indexRebuilt: boolean;
  observer: CommitObserver | undefined;
  readonly #now: () => Time;
  readonly #disk: Disk;
  readonly #lock: number;
  readonly #files: SegmentFiles;
  readonly #index: StoreIndex;
  readonly #state: State;
  readonly #log: Log;
  readonly #reserve: Reserve;
  readonly #reader: UnitReader;
  readonly #commitMeta = new ByteWriter(64 * 1024);
  readonly #stopSyncing: () => void;
  readonly #reclaimer: Reclaimer;
  readonly #checkpoints: Checkpoints;
  #sweepScheduled = false;
  /** Units that were queued and not yet written. */
  #queuedUnits: number[] = [];

  private constructor(directory: string, opened: Opened, options: StoreOptions) {
    this.directory = directory;
    this.recovered = opened.recovered;
    this.indexRebuilt = opened.indexRebuilt;
    this.#now = options.now ?? systemTime;
    this.#disk = opened.disk;
    this.#lock = opened.lock;
    this.#files = opened.files;
    this.#index = opened.index;
    this.#state = opened.state;
    this.#log = opened.log;
    this.#reader = new UnitReader(opened.files);
    this.#reserve = opened.reserve;
    this.#checkpoints = new Checkpoints(
      {
        ...opened,
        directory,
        unwrittenBytesMax: options.unwrittenBytesMax,
        onWritten: () => this.#afterChange(),
      },
      opened.recovered.bytes > 0 || opened.recovered.tornBytes > 0,
    );
    this.#reclaimer = new Reclaimer({
      state: opened.state,
      files: opened.files,
      log: opened.log,
      stepLimits: options.reclaimStep ?? STEP_LIMITS,
      covered: () => this.#checkpoints.covered,
      commit: (changes, claim) => this.commit(changes, claim),
      changed: () => {
        this.#checkpoints.isDirty = true;
        this.#afterChange();
      },
      room: opened.reserve,
      checkpoint: async (mayUseReserve) => {
        if (!this.#checkpoints.hasRoomFor({ mayUseReserve })) return false;
        await this.checkpoint();
        return true;
      },
    });
    const every = options.every ?? systemEvery;
    this.#stopSyncing = every(SYNC_INTERVAL_MS, () => {
      this.#log.durable().catch(() => {});
    });
  }

  static async open(directory: string, options: StoreOptions = {}): Promise<Store> {
    const opened = await openStore(directory, options);
    const store = new Store(directory, opened, options);
    try {
      store.#begin(opened, options);
    } catch (error) {
      await store.close().catch(() => {});
      throw error;
    }
    return store;
  }

  #begin(opened: Opened, options: StoreOptions): void {
    if (this.#state.inode(ROOT_INO) === undefined) this.#makeRoot();
    if (options.keepReserve === true) {
      const segmentLength = options.segmentLength ?? SEGMENT_LENGTH;
      const { segments } = this.#state;
      opened.reserve.start(
        () => Math.max(0, segments.size - 1) * segmentLength + opened.log.end.offset,
        () => this.#reclaimer.wake(),
      );
    }
    if (options.reclaim === true) this.#reclaimer.start();
  }

  /** Makes everything durable, brings the index up to date and lets go of the store. */
  async close(): Promise<void> {
    this.#checkpoints.stop();
    this.#stopSyncing();
    this.#reserve.stop();
    try {
      // A cleaning that waits for a sync which others ask for does not wait for who has closed the store.
      this.#log.durable().catch(() => {});
      await this.#reclaimer.close();
      for (const id of this.#state.unlinked) this.dropUnit(id);
      await this.#checkpoints.last();
      await this.#log.durable();
      this.#log.trim();
    } finally {
      this.#log.close();
      await this.#index.close();
      this.#files.closeAll();
      unlockStore(this.#lock, this.#disk);
    }
  }

  inode(ino: number): Inode | undefined {
    if (this.#state.full) this.#scheduleSweep();
    return this.#state.inode(ino);
  }

  /** The inode that a name stands for; 0 when there is no such name. */
  lookup(parent: number, name: string): number {
    return this.#state.dentry(parent, name)?.ino ?? 0;
  }

  /** The inode itself, in one step: what deliveries do most. */
  named(parent: number, name: string): Inode | undefined {
    if (this.#state.full) this.#scheduleSweep();
    return this.#state.named(parent, name);
  }

  openDirectory(ino: number): DirectoryStream {
    return new DirectoryStream(this.#state, this.#index, ino);
  }

  /** Deliveries that wait for a lock on this name, in the order in which they came. */
  pending(parent: number, name: string): readonly PendingDelivery[] {
    if (this.#state.pending.size === 0) return [];
    const found: PendingDelivery[] = [];
    for (const { change } of this.#state.pending.values()) {
      if (change.parent === parent && change.name === name) found.push(change);
    }
    return found.sort((a, b) => a.id - b.id);
  }

  /** All of them, in the order in which they came. */
  allPending(): readonly PendingDelivery[] {
    const found: PendingDelivery[] = [];
    for (const { change } of this.#state.pending.values()) found.push(change);
    return found.sort((a, b) => a.id - b.id);
  }

  /** Units that no file has a byte of. */
  unlinkedUnits(): readonly number[] {
    return [...this.#state.unlinked];
  }

  /** No inode that there is has this number or a greater one. */
  get inoEnd(): number {
    return this.#state.counters.nextIno;
  }

  orphans(): readonly number[] {
    return [...this.#state.orphans];
  }

  newIno(): number {
    return this.#state.counters.nextIno++;
  }

  newPendingId(): number {
    return this.#state.counters.nextPending++;
  }

  /**
   * Queues a unit of at most UNIT_LENGTH_MAX bytes, with a checksum for each of `chunkLengths` (default:
   * CHUNK_LENGTH_MAX each). The bytes must stay as they are until commit() or flush() returns.
   */
  writeUnit(parts: readonly Uint8Array[], chunkLengths?: readonly number[]): number {
    const id = this.#state.counters.nextUnit++;
    const chunks = chunksOf(parts, chunkLengthsOf(parts, chunkLengths));
    const place = this.#log.queueUnit(id, chunks, parts);
    addUnit(this.#state, new Unit(id, place.segment, place.offset, chunks));
    this.#queuedUnits.push(id);
    this.#checkpoints.isDirty = true;
    return id;
  }

  /** A unit that was never linked is no longer wanted. One that is still queued takes the whole queue with it. */
  dropUnit(id: number): void {
    if (this.#queuedUnits.includes(id)) this.#dropQueued();
    dropUnlinked(this.#state, id);
    this.#checkpoints.isDirty = true;
  }

  /** A unit, if it is there with all bytes of the range: of one that files refer to, cleaning keeps what they do. */
  hasUnit(id: number, offset = 0, length = 0): { length: number } | undefined {
    const unit = this.#state.unit(id);
    return unit !== undefined && stores(unit.chunks, offset, length) ? unit : undefined;
  }

  /** The bytes of a range of a unit that is there and not queued. */
  readUnit(id: number, offset: number, length: number): Buffer {
    const unit = this.#state.unit(id);
    assert(unit !== undefined, `unit ${id} is there`);
    const bytes = Buffer.allocUnsafe(length);
    this.#reader.begin(bytes);
    this.#reader.add(unit, offset, length, 0);
    this.#reader.finish();
    return bytes;
  }

  /** Runs [length, count, ...] that say how often each byte of a unit is referenced. */
  unitReferences(id: number): readonly number[] | undefined {
    return this.#state.unit(id)?.runs;
  }

  /** Writes what is queued: afterwards it survives the end of this process. */
  flush(claim: Claim = "grow"): void {
    const refusal = this.#checkpoints.refusal(claim);
    if (refusal !== undefined) {
      this.#dropQueued();
      // Nothing else would ask for the next attempt.
      this.#afterChange();
      throw refusal;
    }
    try {
      this.#log.flush(claim);
    } catch (error) {
      this.#dropQueued();
      throw error;
    }
    this.#queuedUnits = [];
  }

  /**
   * One atomic change. When it throws StoreError, nothing happened. `claim`: who may use the last room on a disk;
   * what the changes are, if it is not given.
   */
  commit(changes: readonly Change[], claim?: Claim): void {
    const wanted = claim ?? (this.#queuedUnits.length > 0 ? "grow" : claimOf(changes));
    let place: LogPosition;
    try {
      validate(this.#state, changes);
      this.#commitMeta.reset();
      encodeChanges(this.#commitMeta, withFormerInodes(this.#state, changes));
      place = this.#log.queueCommit(this.#commitMeta.view());
    } catch (error) {
      this.#dropQueued();
      throw error;
    }
    this.observer?.committing(changes, this.#log.queuedEnd);
    try {
      this.flush(wanted);
    } catch (error) {
      this.observer?.refused();
      throw error;
    }
    this.#checkpoints.isDirty = true;
    this.#state.moveTo(place.segment, place.offset);
    this.#apply(changes);
    this.#afterChange();
  }

  /** Resolves when everything committed so far is on stable storage. */
  async durable(): Promise<void> {
    if (this.#checkpoints.lagsTooFar) await this.#checkpoints.caughtUp();
    await this.#log.durable();
  }

  /** The log has the changes: state that cannot follow it must not go on, a new start reads it from the log. */
  #apply(changes: readonly Change[]): void {
    try {
      for (const change of changes) apply(this.#state, change);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      throw new InvariantError(`a change in the log could not be applied: ${error.message}`, {
        cause: error,
      });
    }
  }

  /** Inodes of all kinds. */
  get inodeCount(): number {
    return this.#state.counters.files + this.#state.counters.directories;
  }

  extents(ino: number, offset: number, length: number): Extent[] {
    return this.#existing(ino).tree.slice(offset, length);
  }

  /** Bytes of a file, fewer only at its end; in memory of their own, or in `into` if that is long enough. */
  read(ino: number, offset: number, length: number, into?: Buffer): Buffer {
    const inode = this.#existing(ino);
    const count = Math.max(0, Math.min(length, inode.size - offset));
    const bytes =
      into !== undefined && into.length >= count
        ? into.subarray(0, count)
        : Buffer.allocUnsafe(count);
    this.#reader.begin(bytes);
    let at = 0;
    for (const extent of inode.tree.slice(offset, count)) {
      if (extent.unit === 0) {
        bytes.fill(0, at, at + extent.length);
      } else {
        const unit = this.#state.unit(extent.unit);
        assert(unit !== undefined, `unit ${extent.unit} of inode ${ino} is there`);
        this.#reader.add(unit, extent.offset, extent.length, at);
      }
      at += extent.length;
    }
    this.#reader.finish();
    assert(at === count, "extents cover the file");
    if (this.#state.full) this.#scheduleSweep();
    return bytes;
  }

  /** Fills a buffer with bytes inside a file, for who looks at some of them again soon: matching does. */
  look(ino: number, offset: number, bytes: Buffer): void {
    const inode = this.#existing(ino);
    const { length } = bytes;
    assert(offset + length <= inode.size, "a look is inside the file");
    this.#reader.begin(bytes);
    let at = 0;
    for (const { unit: id, offset: from, length: count } of inode.tree.slice(offset, length)) {
      if (id === 0) {
        bytes.fill(0, at, at + count);
      } else {
        const unit = this.#state.unit(id);
        assert(unit !== undefined, `unit ${id} of inode ${ino} is there`);
        this.#reader.look(unit, from, count, at);
      }
      at += count;
    }
    if (this.#state.full) this.#scheduleSweep();
  }

  statistics(): StoreStatistics {
    return statisticsOf(this.#state, this.#files, this.#checkpoints.lagBytes);
  }

  /** The disk under the store. */
  space(): Space {
    return this.#disk.space(this.directory);
  }

  /** Brings the index up to the end of the log. One at a time. */
  checkpoint(): Promise<void> {
    return this.#checkpoints.write();
  }

  /** Gives back the space of what nobody references, without waiting for others; resolves when that is done. */
  reclaim(options: ReclaimOptions = {}): Promise<ReclaimReport> {
    return this.#reclaimer.now(options);
  }

  get reclaimer(): Reclaimer {
    return this.#reclaimer;
  }

  /** Where the bytes of the store's directory go; it looks at files, so not for every moment. */
  spaceUse(): SpaceUse & DeadUse {
    const { waiting } = this.#reclaimer.status();
    return { ...spaceUse(this.directory, this.#state), ...deadUse(waiting) };
  }

  internals(): StoreInternals {
    return { state: this.#state, files: this.#files, index: this.#index };
  }

  #dropQueued(): void {
    this.#log.discardQueue();
    for (const id of this.#queuedUnits) dropUnwritten(this.#state, id);
    this.#queuedUnits = [];
  }

  #afterChange(): void {
    if (this.#state.full) this.#scheduleSweep();
    this.#reclaimer.wake();
    this.#checkpoints.wake();
  }

  #scheduleSweep(): void {
    if (this.#sweepScheduled) return;
    this.#sweepScheduled = true;
    setImmediate(() => {
      this.#sweepScheduled = false;
      if (this.#state.full) this.#state.sweep();
    });
  }

  #existing(ino: number): Inode {
    const inode = this.#state.inode(ino);
    assert(inode !== undefined, `inode ${ino} is there`);
    return inode;
  }

  #makeRoot(): void {
    this.commit([rootInode(this.#now())]);
  }
}

/** The system's clock, to the millisecond. */
export function systemTime(): Time {
  const ms = Date.now();
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: (ms - sec * 1000) * 1_000_000 };
}

/**
 * When the index follows the log: by itself, when it lacks so much that a start would have to read long or that memory
 * would be short, and when somebody asks.
 *
 * Invariants:
 * - one checkpoint at a time;
 * - none where the disk has no room for it: a write that finds none may break LevelDB's own log, and what the
 *   index lacks is in the log;
 * - one that failed is tried again after a pause; rows stay in memory meanwhile, up to a limit.
 */
import type { Reserve } from "../disk/reserve.ts";
import type { Claim } from "../disk/room.ts";
import { StoreError } from "../errors.ts";
import { indexBytes } from "../index/index-bytes.ts";
import type { StoreIndex } from "../index/store-index.ts";
import type { Log, LogPosition } from "../log/log.ts";
import {
  CHECKPOINT_AT,
  INDEX_LAG_BYTES_MAX,
  INDEX_LAG_EXTENTS_MAX,
  UNWRITTEN_BYTES_MAX,
  writeCheckpoint,
} from "./checkpoint.ts";
import type { State } from "./state.ts";

/** When a checkpoint has failed (a full disk), the next one is tried after this time. */
const RETRY_MS = 10_000;
/** LevelDB merges its files when it likes: room for that besides the rows, on a disk that is nearly full. */
const ROOM = 8 * 1024 * 1024;
/** Its lists of files and its own log. */
const ROOM_MIN = 256 * 1024;

export interface CheckpointsOptions {
  /** The store's directory. */
  readonly directory: string;
  readonly state: State;
  readonly log: Log;
  readonly index: StoreIndex;
  readonly reserve: Reserve;
  /** One begins when it would write about so many bytes. */
  readonly checkpointBytes: number;
  /** While none can be written, nothing new is taken when rows of so many bytes wait. */
  readonly unwrittenBytesMax?: number | undefined;
  /** Bytes of the log that the index lacks. */
  readonly lagBytes: number;
  /** The position that it covers. */
  readonly covered: LogPosition | undefined;
  /** Called when one that began by itself has been written. */
  readonly onWritten: () => void;
}

export class Checkpoints {
  readonly #options: CheckpointsOptions;
  readonly #unwrittenBytesMax: number;
  #current: Promise<void> | undefined;
  #covered: LogPosition | undefined;
  /** Log bytes at the position that the last one began at. */
  #lagStart: number;
  /** After a failed one: no other before this time (ms, performance.now). */
  #notBeforeMs = 0;
  /** Why the last one failed. */
  #failure: Error | undefined;
  #isStopped = false;
  /** Whether the state has changed since the last one began. */
  isDirty: boolean;

  constructor(options: CheckpointsOptions, isDirty: boolean) {
    this.#options = options;
    this.#unwrittenBytesMax = options.unwrittenBytesMax ?? UNWRITTEN_BYTES_MAX;
    this.#covered = options.covered;
    this.#lagStart = -options.lagBytes;
    this.isDirty = isDirty;
  }

  /** What the index covers: a start reads the log from here on. */
  get covered(): LogPosition | undefined {
    return this.#covered;
  }

  /** Bytes of the log since the position that the last one began at. */
  get lagBytes(): number {
    return this.#options.log.appended - this.#lagStart;
  }

  /** Brings the index up to the end of the log, or waits for the one that is under way. */
  write(): Promise<void> {
    this.#current ??= this.#write().finally(() => {
      this.#current = undefined;
    });
    return this.#current;
  }

  /** Whether there is room for one that cleaning waits for. */
  hasRoomFor({ mayUseReserve }: { readonly mayUseReserve: boolean }): boolean {
    return this.#hasRoom() || (mayUseReserve && this.#makeRoom());
  }

  /** Begins one if it is time. Asked after every change. */
  wake(): void {
    if (this.#current !== undefined || this.#isStopped) return;
    if (performance.now() < this.#notBeforeMs || !this.#isDue()) return;
    if (!this.#hasRoom()) {
      // What the index lacks on a full disk is bounded by what the reserve lets be written.
      this.#notBeforeMs = performance.now() + RETRY_MS;
      return;
    }
    this.write().then(this.#options.onWritten, (error: Error) => {
      // The log goes on without the index: a restart reads what the index lacks.
      this.#notBeforeMs = performance.now() + RETRY_MS;
      process.emitWarning(`the index cannot be brought up to date: ${error.message}`);
    });
  }

  /** Whether the index lags by more than a start should have to read. */
  get lagsTooFar(): boolean {
    const { extentsChanged } = this.#options.state;
    return this.lagBytes > INDEX_LAG_BYTES_MAX || extentsChanged > INDEX_LAG_EXTENTS_MAX;
  }

  /** Resolves when it no longer does, or cannot be helped now. */
  async caughtUp(): Promise<void> {
    while (this.lagsTooFar && this.#current !== undefined) {
      // Whether the index could be written is nothing that a commit depends on.
      await this.#current.catch(() => {});
    }
  }

  /** Rows that the index does not take stay in memory: what can make ever more of them waits until it takes them. */
  refusal(claim: Claim): StoreError | undefined {
    if (claim === "free" || this.#failure === undefined) return undefined;
    if (this.#options.state.unwrittenBytes <= this.#unwrittenBytesMax) return undefined;
    const message = `nothing new is accepted until the index can be written again: ${this.#failure.message}`;
    return new StoreError("STORE_IO", message, { cause: this.#failure });
  }

  /** None begins by itself any more. */
  stop(): void {
    this.#isStopped = true;
  }

  /** A store can be closed without it: what the index lacks is read from the log at the next start. */
  async last(): Promise<void> {
    await this.#current?.catch(() => {});
    if (!this.isDirty || !this.#hasRoom()) return;
    try {
      await this.write();
    } catch (error) {
      process.emitWarning(`the index cannot be brought up to date: ${(error as Error).message}`);
    }
  }

  async #write(): Promise<void> {
    const { state, log, index } = this.#options;
    if (index.isBroken === true) await index.repair?.();
    const start = log.appended;
    this.isDirty = false;
    try {
      this.#covered = await writeCheckpoint(state, log, index);
    } catch (error) {
      this.isDirty = true;
      this.#failure = error as Error;
      throw error;
    }
    this.#failure = undefined;
    this.#lagStart = start;
  }

  #isDue(): boolean {
    const { state, checkpointBytes } = this.#options;
    return (
      this.lagBytes >= INDEX_LAG_BYTES_MAX * CHECKPOINT_AT ||
      state.changedBytes >= checkpointBytes ||
      state.extentsChanged >= INDEX_LAG_EXTENTS_MAX * CHECKPOINT_AT
    );
  }

  #hasRoom(): boolean {
    const { reserve, state } = this.#options;
    return reserve.hasRoomFor(ROOM + 3 * state.changedBytes);
  }

  /** What LevelDB needs at the most of a small index: to merge all of it, or to copy its log after a failure. */
  #makeRoom(): boolean {
    const { directory, reserve, state } = this.#options;
    const merged = Math.min(ROOM, indexBytes(directory));
    return reserve.makeRoomFor(ROOM_MIN + merged + 3 * state.changedBytes);
  }
}

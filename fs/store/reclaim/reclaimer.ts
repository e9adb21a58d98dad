/**
 * Gives back the space of what nobody references: decides when to clean and what, and does it in short turns.
 *
 * - In the background: begins when the log is longer than wanted (space.ts), is paced by what others write
 *   (pace.ts), and rests when no segment is worth it until more was written.
 * - now(): every segment that is worth it, one round, without waiting.
 *
 * What goes wrong ends the batch, not the store: a full disk is tried again later; a segment that is damaged, missing or
 * cannot be read is left as it is for as long as the store is open, and does not count. Not here: what is written again (cleaning.ts).
 */
import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import { StoreError } from "../errors.ts";
import { Cleaning } from "./cleaning.ts";
import { Gain } from "./gain.ts";
import type { ReclaimHost } from "./host.ts";
import { STEP_LIMITS } from "./host.ts";
import { othersShare, Pace } from "./pace.ts";
import type { SealedBytes } from "./segment-lengths.ts";
import { SegmentLengths } from "./segment-lengths.ts";
import { LIVE_PART_MIN, liveBytes, liveMetadataBytes, logBytesMax, urgency } from "./space.ts";
import type { Candidate } from "./victims.ts";
import { chooseVictims, livePart } from "./victims.ts";
import type { Waiting } from "./waiting.ts";
import { waitingOf } from "./waiting.ts";

/** A step of a cleaning takes about so long, and others get their turn. */
const STEP_MS = STEP_LIMITS.stepMs;
/** So much is written between two syncs: what others sync takes no longer for it. */
const SYNC_BYTES = 512 * 1024;
/** While others write, their syncs are waited for so long. */
const PATIENCE_MS = 50;
const PAUSE_MS = 5;
const RETRY_MS = 10_000;
/** A segment of which less is dead is not worth the work. */
const DEAD_PART_MIN = 0.1;
/** The background looks again when log and bound have come nearer to each other by this part of a segment's length. */
const LOOK_AGAIN_PART = 1 / 8;
/** On a full disk it looks after this time, if something was deleted, or after the longer one. */
const FULL_LOOK_MS = 1_000;
const FULL_LOOK_MS_MAX = 10_000;
/** There the last segment is ended if so much of it is dead, and if it is so long (part of a segment's length). */
const LAST_DEAD_PART_MIN = 0.75;
const LAST_LENGTH_PART_MIN = 1 / 64;

export interface ReclaimOptions {
  /** Without waiting for others, and for every segment that is worth it. */
  readonly now?: boolean;
  /** With `now`: segments with a smaller dead part are left alone (default 0.1). 0: none is. */
  readonly deadPartMin?: number;
}

export interface ReclaimReport {
  readonly segments: number;
  readonly freedBytes: number;
  /** Of units, and of records about files and names. */
  readonly movedBytes: number;
  readonly recordBytes: number;
  /** Segments that are left as they are, and why. */
  readonly kept: readonly string[];
}

export interface ReclaimStatus {
  readonly state: "off" | "resting" | "cleaning" | "failed";
  /** The segment that is being read. */
  readonly segment: number | undefined;
  readonly failure: string | undefined;
  readonly kept: readonly string[];
  /** Where dead bytes are, and what they wait for. */
  readonly waiting: readonly Waiting[];
  /** Since the store was opened. */
  readonly segmentsFreed: number;
  readonly bytesFreed: number;
  readonly bytesMoved: number;
  readonly recordBytes: number;
  readonly stepMsMax: number;
  /** What the store holds, and how long its log may be for that. */
  readonly liveBytes: number;
  readonly liveMetadataBytes: number;
  readonly logBytes: number;
  readonly logBytesMax: number;
}

interface Round {
  readonly pace: Pace | undefined;
  isStopped: boolean;
  /** In the last turn. */
  othersWrote?: boolean;
}

export class Reclaimer {
  readonly #host: ReclaimHost;
  readonly #lengths: SegmentLengths;
  #isOn = false;
  #isClosed = false;
  #round: Round | undefined;
  /** The round that runs, if one does; it never rejects. */
  #running: Promise<unknown> = Promise.resolve();
  #cleaning: Cleaning | undefined;
  /** Segments that the log says may go, perhaps not durably yet: their files are still there. */
  readonly #gone = new Set<number>();
  #failure: string | undefined;
  #retryAtMs = 0;
  /** Bytes appended to the log by cleaning. */
  #ownBytes = 0;
  /** The background looks at the store when the log has so many bytes appended, */
  #lookAt = 0;
  /** or when so few bytes are live: what is deleted lowers the bound, and appends next to nothing. */
  #lookAtLive = Infinity;
  /** On a full disk: when it looked last (ms), and what it saw. */
  #fullLookMs = 0;
  #fullSeen = "";
  #segmentsFreed = 0;
  #bytesFreed = 0;
  #bytesMoved = 0;
  #recordBytes = 0;
  #stepMs = 0;
  #stepMsMax = 0;

  constructor(host: ReclaimHost) {
    this.#host = host;
    this.#lengths = new SegmentLengths(host.files);
  }

  /** Cleans in the background from now on. */
  start(): void {
    if (this.#isClosed) return;
    this.#isOn = true;
    this.#lookNow();
    this.wake();
  }

  /** now(), for who asks for the status later. */
  begin(): void {
    this.now().then(
      () => {
        this.#failure = undefined;
      },
      (error: unknown) => this.#failed(error),
    );
  }

  /** Ends the background's work, and a round that runs; resolves when nothing of it is under way. */
  async stop(): Promise<void> {
    this.#isOn = false;
    if (this.#round !== undefined) this.#round.isStopped = true;
    await this.#running;
  }

  /** The store is closed: nothing begins any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.stop();
  }

  /** After a change of the store: cheap unless there is something to do. */
  wake(): void {
    if (!this.#isOn || this.#round !== undefined) return;
    const { log } = this.#host;
    if (performance.now() < this.#retryAtMs) return;
    if (this.#host.room.isFull ? !this.#isFullLookDue() : !this.#isLookDue()) return;
    this.#restFor(LOOK_AGAIN_PART);
    if (this.#urgency() <= 0 && this.#gone.size === 0) return;
    const pace = new Pace(log.appended - this.#ownBytes, performance.now());
    this.#begin({ pace, isStopped: false }, (round) => this.#background(round)).catch(
      (error: unknown) => this.#failed(error),
    );
  }

  /** One round at once. Throws StoreError; what was done until then stays done. */
  async now({ deadPartMin = DEAD_PART_MIN }: ReclaimOptions = {}): Promise<ReclaimReport> {
    while (this.#round !== undefined) {
      if (this.#round.pace === undefined) await this.#running;
      else await this.#endRound(this.#round);
    }
    if (this.#isClosed) throw new StoreError("STORE_IO", "the store was closed meanwhile");
    const before = {
      segmentsFreed: this.#segmentsFreed,
      bytesFreed: this.#bytesFreed,
      bytesMoved: this.#bytesMoved,
      recordBytes: this.#recordBytes,
    };
    await this.#begin({ pace: undefined, isStopped: false }, (round) =>
      this.#everything(round, deadPartMin),
    );
    const after = this.status();
    this.#lookNow();
    this.wake();
    return {
      segments: after.segmentsFreed - before.segmentsFreed,
      freedBytes: after.bytesFreed - before.bytesFreed,
      movedBytes: after.bytesMoved - before.bytesMoved,
      recordBytes: after.recordBytes - before.recordBytes,
      kept: after.kept,
    };
  }

  status(): ReclaimStatus {
    const { counters } = this.#host.state;
    const live = liveBytes(counters);
    const resting = this.#failure === undefined ? "resting" : "failed";
    const idle = this.#isOn ? resting : "off";
    return {
      state: this.#round === undefined ? idle : "cleaning",
      segment: this.#cleaning?.segment,
      failure: this.#failure,
      kept: [...this.#lengths.kept.values()],
      waiting: this.#waiting(),
      segmentsFreed: this.#segmentsFreed,
      bytesFreed: this.#bytesFreed,
      bytesMoved: this.#bytesMoved + (this.#cleaning?.unitBytes ?? 0),
      recordBytes: this.#recordBytes + (this.#cleaning?.recordBytes ?? 0),
      stepMsMax: this.#stepMsMax,
      liveBytes: live,
      liveMetadataBytes: liveMetadataBytes(counters),
      logBytes: this.#sealed().all + this.#host.log.end.offset,
      logBytesMax: Math.floor(logBytesMax(live, this.#host.log.segmentLength)),
    };
  }

  async #endRound(round: Round): Promise<void> {
    round.isStopped = true;
    await this.#running;
  }

  #begin<T>(round: Round, work: (round: Round) => Promise<T>): Promise<T> {
    this.#round = round;
    const running = work(round).finally(() => {
      this.#round = undefined;
      this.#cleaning = undefined;
    });
    this.#running = running.catch(() => {});
    return running;
  }

  async #background(round: Round): Promise<void> {
    const { log } = this.#host;
    await this.#removeLeft();
    const ownBytes = this.#ownBytes;
    const othersBytes = log.appended - ownBytes;
    const gain = new Gain(this.#logBytes(), log.segmentLength * LOOK_AGAIN_PART);
    while (!round.isStopped && this.#urgency() > 0) {
      const before = this.#logBytes();
      const writtenByOthers = log.appended - this.#ownBytes;
      let victims = this.#choose(DEAD_PART_MIN, Infinity);
      if (victims.length === 0) {
        await this.#makeReady(DEAD_PART_MIN);
        victims = this.#choose(DEAD_PART_MIN, Infinity);
      }
      if (victims.length === 0) return;
      await this.#clean(round, victims);
      // Snapshots may cost more than a batch frees; those that follow gain by them. But not for ever.
      const grown = this.#logBytes() - before - (log.appended - this.#ownBytes - writtenByOthers);
      const ofOthers = log.appended - this.#ownBytes - othersBytes;
      const isVain = gain.isVain(this.#logBytes() - ofOthers, this.#ownBytes - ownBytes);
      if (isVain || grown > this.#host.log.segmentLength) {
        this.#restFor(1);
        return;
      }
    }
    this.#failure = undefined;
  }

  async #everything(round: Round, deadPartMin: number): Promise<void> {
    await this.#removeLeft();
    await this.#makeReady(deadPartMin);
    const { segment: end } = this.#host.log.end;
    await this.#lengths.lookAt(this.#host.state.segments, end);
    const tried = new Set<number>();
    while (!round.isStopped) {
      const victims = this.#choose(deadPartMin, end, tried);
      if (victims.length === 0) return;
      await this.#clean(round, victims);
      // One that is damaged ended the batch: the others come again.
      if (victims.some((victim) => this.#lengths.kept.has(victim))) continue;
      for (const victim of victims) tried.add(victim);
    }
  }

  /** What is dead and cannot be cleaned yet: the index is brought up to date, and on a full disk a dead last segment ended. */
  async #makeReady(deadPartMin: number): Promise<void> {
    const { log, room } = this.#host;
    if (room.isShort && this.#isLastDead()) {
      await log.durable();
      // Who writes or syncs in this turn: the next look does it.
      if (this.#isLastDead()) log.endSegment();
    }
    if (await this.#host.checkpoint(false)) return;
    // The reserve is not spent for an index that would make nothing ready.
    const before = log.firstUnsettled;
    if (this.#covered() >= before || this.#worth(deadPartMin, before).length === 0) return;
    await this.#host.checkpoint(true);
  }

  /** Nearly all of it, so that moving the rest costs little of the room that a full disk has not. */
  #isLastDead(): boolean {
    const { state, log, room } = this.#host;
    const { segment, offset: length } = log.end;
    const use = state.segments.get(segment);
    if (use === undefined || length < log.segmentLength * LAST_LENGTH_PART_MIN) return false;
    const candidate = { segment, length, unitBytes: use.unitBytes, liveBytes: use.liveBytes };
    const live = livePart(candidate, this.#liveMetadataPart());
    return 1 - live >= LAST_DEAD_PART_MIN && live * length <= room.roomForMoves;
  }

  #covered(): number {
    return this.#host.covered()?.segment ?? 0;
  }

  /** Segments below `end` that are worth it, and that can be cleaned. */
  #choose(deadPartMin: number, end: number, tried: ReadonlySet<number> = new Set()): number[] {
    const before = Math.min(this.#covered(), this.#host.log.firstUnsettled, end);
    return this.#worth(deadPartMin, before, tried);
  }

  /** Those below `before`. */
  #worth(deadPartMin: number, before: number, tried: ReadonlySet<number> = new Set()): number[] {
    const { state, log, room } = this.#host;
    const candidates: Candidate[] = [];
    for (const use of state.segments.values()) {
      const { segment, liveBytes: live } = use;
      if (this.#lengths.kept.has(segment)) continue;
      if (segment >= before || tried.has(segment)) continue;
      const length = this.#lengths.of(segment);
      candidates.push({ segment, length, unitBytes: use.unitBytes, liveBytes: live });
    }
    const liveMetadataPart = this.#liveMetadataPart();
    const movedMax = room.isShort ? room.roomForMoves : Infinity;
    const batchLiveBytesMax = Math.min(log.segmentLength * 0.75, movedMax);
    return chooseVictims(
      candidates.filter((one) => livePart(one, liveMetadataPart) * one.length <= movedMax),
      { liveMetadataPart, deadPartMin, batchLiveBytesMax },
    );
  }

  /** Of all metadata in the log. */
  #liveMetadataPart(): number {
    const { state } = this.#host;
    let unitBytes = 0;
    for (const use of state.segments.values()) {
      if (!this.#lengths.kept.has(use.segment)) unitBytes += use.unitBytes;
    }
    const metadata = Math.max(1, this.#logBytes() - unitBytes);
    return Math.min(1, liveMetadataBytes(state.counters) / metadata);
  }

  #waiting(): Waiting[] {
    const { state, log, room } = this.#host;
    const isShort = room.isShort;
    return waitingOf(state.segments.values(), {
      last: log.end.segment,
      covered: this.#covered(),
      kept: this.#lengths.kept,
      isShort,
      movedMax: isShort ? room.roomForMoves : Infinity,
      deadPartMin: DEAD_PART_MIN,
    });
  }

  #lookNow(): void {
    this.#lookAt = 0;
  }

  /** Until log and bound have come nearer to each other by this part of a segment's length. */
  #restFor(part: number): void {
    const { log, state } = this.#host;
    const bytes = log.segmentLength * part;
    this.#lookAt = log.appended + bytes;
    this.#lookAtLive = liveBytes(state.counters) - bytes * LIVE_PART_MIN;
  }

  #isLookDue(): boolean {
    const { log, state } = this.#host;
    return log.appended >= this.#lookAt || liveBytes(state.counters) <= this.#lookAtLive;
  }

  #isFullLookDue(): boolean {
    const nowMs = performance.now();
    const seen = `${this.#host.log.appended} ${this.#host.state.counters.storedBytes}`;
    const pauseMs = seen === this.#fullSeen ? FULL_LOOK_MS_MAX : FULL_LOOK_MS;
    if (nowMs - this.#fullLookMs < pauseMs) return false;
    this.#fullLookMs = nowMs;
    this.#fullSeen = seen;
    return true;
  }

  async #clean(round: Round, victims: readonly number[]): Promise<void> {
    const { log } = this.#host;
    const cleaning = new Cleaning(this.#host, victims);
    this.#cleaning = cleaning;
    let synced = log.appended;
    for (let isLeft = true; isLeft;) {
      await this.#turn(round);
      if (round.isStopped) return;
      // Somebody is in the middle of a change: not in this turn.
      if (log.hasQueued) continue;
      // The segment ends with this step's first write, which syncs it in this thread: let little be left for that.
      if (log.end.offset >= log.segmentLength) await log.durable(this.#patience(round));
      if (round.isStopped || log.hasQueued) continue;
      isLeft = this.#step(cleaning, round);
      if (victims.some((victim) => this.#lengths.kept.has(victim))) return;
      if (log.appended - synced < SYNC_BYTES) continue;
      synced = log.appended;
      await log.durable(this.#patience(round));
    }
    await log.durable(this.#patience(round));
    if (round.isStopped || this.#keepsSome(cleaning)) return;
    this.#own(() => cleaning.recordRemoval());
    for (const segment of victims) this.#gone.add(segment);
    await log.durable(this.#patience(round));
    await this.#removeFiles();
    this.#bytesMoved += cleaning.unitBytes;
    this.#recordBytes += cleaning.recordBytes;
    this.#cleaning = undefined;
  }

  /** Of segments that the log says may go, durably: also of those of an earlier batch that could not be synced at once. */
  async #removeFiles(): Promise<void> {
    for (const segment of this.#gone) {
      this.#gone.delete(segment);
      await this.#removeFile(segment);
    }
  }

  async #removeLeft(): Promise<void> {
    if (this.#gone.size === 0) return;
    await this.#host.log.durable();
    await this.#removeFiles();
  }

  /** The log says that it may go, so that the next start tries again what fails here. */
  async #removeFile(segment: number): Promise<void> {
    const length = this.#lengths.of(segment);
    this.#lengths.forget(segment);
    try {
      await this.#host.files.removeLater(segment);
    } catch (error) {
      const why = `segment ${segment} cannot be removed: ${(error as Error).message}`;
      process.emitWarning(`${why}; the next start does it`);
      return;
    }
    this.#bytesFreed += length;
    this.#segmentsFreed++;
  }

  #step(cleaning: Cleaning, round: Round): boolean {
    const start = performance.now();
    const done = cleaning.scannedBytes + cleaning.unitBytes + cleaning.recordBytes;
    try {
      return this.#own(() => cleaning.step(start + this.#host.stepLimits.stepMs));
    } catch (error) {
      const { segment } = cleaning;
      if (!(error instanceof StoreError) || error.code !== "STORE_DAMAGED") throw error;
      this.#lengths.keep(segment ?? (cleaning.victims[0] as number), error.message);
      return false;
    } finally {
      this.#stepMs = performance.now() - start;
      this.#stepMsMax = Math.max(this.#stepMsMax, this.#stepMs);
      round.pace?.spend(cleaning.scannedBytes + cleaning.unitBytes + cleaning.recordBytes - done);
    }
  }

  #keepsSome(cleaning: Cleaning): boolean {
    const segment = cleaning.notEmptied();
    if (segment === undefined) return false;
    this.#lengths.keep(
      segment,
      `the index has units in segment ${segment} that the log does not have there`,
    );
    return true;
  }

  /** What is appended meanwhile is not others'. */
  #own<T>(work: () => T): T {
    const before = this.#host.log.appended;
    try {
      return work();
    } finally {
      this.#ownBytes += this.#host.log.appended - before;
    }
  }

  async #turn(round: Round): Promise<void> {
    const before = this.#host.log.appended - this.#ownBytes;
    await nextTurn();
    // While others write, whatever the hurry, they have most of the time.
    if (this.#host.log.appended - this.#ownBytes > before || round.othersWrote) {
      // A step that took long for other reasons, as on a busy machine, says nothing about its work.
      const ms = Math.min(this.#stepMs, 2 * STEP_MS) * othersShare(this.#urgency());
      await pause(ms);
    }
    round.othersWrote = this.#host.log.appended - this.#ownBytes > before;
    const { pace } = round;
    if (pace === undefined) return;
    while (!round.isStopped) {
      const writtenByOthers = this.#host.log.appended - this.#ownBytes;
      if (pace.allows(writtenByOthers, performance.now(), this.#urgency())) return;
      await pause(PAUSE_MS);
    }
  }

  #failed(error: unknown): void {
    if (!(error instanceof StoreError)) throw error;
    this.#failure = error.message;
    this.#retryAtMs = performance.now() + RETRY_MS;
    this.#lookNow();
  }

  #patience(round: Round): number {
    return round.othersWrote === true && this.#urgency() < 0.5 ? PATIENCE_MS : 0;
  }

  /** Segments that are left as they are cannot be made shorter by any cleaning: neither they nor what lives in them count. */
  #urgency(): number {
    const { state, log, room } = this.#host;
    // Nothing but cleaning makes room on a disk that is full of mail.
    if (room.isFull) return 1;
    let live = liveBytes(state.counters);
    for (const segment of this.#lengths.kept.keys()) {
      live -= state.segments.get(segment)?.liveBytes ?? 0;
    }
    return urgency(this.#logBytes(), Math.max(0, live), log.segmentLength);
  }

  /** Without those that are left as they are. */
  #logBytes(): number {
    const { all, kept } = this.#sealed();
    return all - kept + this.#host.log.end.offset;
  }

  #sealed(): SealedBytes {
    const { state, log } = this.#host;
    return this.#lengths.sealed(state.segments.keys(), log.end.segment);
  }
}

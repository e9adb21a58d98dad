/**
 * A file of bytes that mean nothing, kept back for when the disk is full: deleting needs room too, for the log says
 * what was deleted, and moving live bytes out of a segment needs room before it gives any.
 *
 *     whole --a write found no room--> broken into --room comes back, once a second--> filled --whole
 *
 * Besides, the disk is called full from the first write on that found no room, until there is more room than the next
 * few writes take: who is refused, and what the log says, does not change from one moment to the next.
 *
 * Invariants:
 * - What is given back is given to changes that free or finish something; others are refused from then on until
 *   the reserve is whole again, so that they do not take what it was given for.
 * - It is short as long as the log is one segment, which cannot be cleaned yet: a small store stays small.
 */
import { randomFillSync } from "node:crypto";
import { StoreError } from "../errors.ts";
import { reservePath } from "../paths.ts";
import type { Disk, Space } from "./disk.ts";
import type { Claim, Room } from "./room.ts";

/** The shortest one, where the disk is large enough. */
const LENGTH_MIN = 4 * 1024 * 1024;
/** Segments that it holds when the log has at least one that is ended. */
const SEGMENTS = 2;
/** The part of a disk's blocks that it may take. */
const DISK_SHARE = 1 / 16;
const GIVEN_LENGTH_MIN = 256 * 1024;
const WRITTEN_LENGTH_MAX = 1024 * 1024;
/** The part of the reserve that each claim leaves where it is. */
const KEPT_PART = { rewrite: 1 / 2, free: 1 / 8, clean: 0 } as const;
/** What making room for the index leaves for the record that segments may go. */
const RECORD_PART = 1 / 16;
/** Blocks are given back in the file system's own portions. */
const CUT_SLACK = 64 * 1024;
/** A disk that was full and has less is still called full: this part of it, within these limits. */
const AGAIN_SHARE = 1 / 32;
const AGAIN_MIN = 1024 * 1024;
const AGAIN_MAX = 8 * 1024 * 1024;
/** Blocks that ext4 counts as free, and gives to nobody. */
const OF_NOBODY_SHARE = 0.02;
const OF_NOBODY_BLOCKS_MAX = 4096;
const LOOK_MS = 1_000;
/** Where room does not last (a quota, of which the disk's own numbers say nothing), it is believed later each time. */
const LASTING_MS = 10_000;
const BELIEVED_MS_MAX = 60_000;
/** Between two pieces while there is room: 20 MB/s, so that filling holds nobody up. */
const PIECE_MS = 50;

export interface ReserveOptions {
  readonly disk: Disk;
  readonly store: string;
  readonly segmentLength: number;
}

export class Reserve implements Room {
  readonly #disk: Disk;
  readonly #store: string;
  readonly #path: string;
  readonly #lengthMax: number;
  #length: number;
  #unsynced = 0;
  #isSyncing = false;
  /** Told of, and not over. */
  #isFull = false;
  /** Until it is over, in ms (performance.now). */
  #believedAtMs = 0;
  #believedMs = 0;
  /** The length that it had when some of it was given back; 0: it is not broken into. */
  #goal = 0;
  #logLength: () => number = () => 0;
  #onStillFull: () => void = () => {};
  #timer: NodeJS.Timeout | undefined;

  constructor({ disk, store, segmentLength }: ReserveOptions) {
    this.#disk = disk;
    this.#store = store;
    this.#path = reservePath(store);
    this.#lengthMax = SEGMENTS * segmentLength;
    this.#length = this.#exists() ? disk.length(this.#path) : 0;
  }

  /**
   * Begins to look after it by itself; `logLength` tells the bytes of the log. `onStillFull` is called once a second as long
   * as the disk is full.
   */
  start(logLength: () => number, onStillFull: () => void): void {
    this.#logLength = logLength;
    this.#onStillFull = onStillFull;
    // An earlier process may have given some of it back.
    const target = this.#target();
    if (this.#exists() && target - this.#length > this.#available()) this.#goal = target;
    if (this.isBroken || this.#knownAvailable() < AGAIN_MIN) this.#tellFull();
    this.#wait(LOOK_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  get length(): number {
    return this.#length;
  }

  /** Whether ordinary changes have to wait. */
  get isBroken(): boolean {
    return this.#goal > 0;
  }

  /** The same, as long as somebody looks whether it is over. */
  get isFull(): boolean {
    return this.#timer !== undefined && (this.isBroken || this.#isFull);
  }

  /** Whether the disk is full, or so near to it that room is only made by what is removed; it asks the disk. */
  get isShort(): boolean {
    return this.isBroken || this.isFull || this.#knownAvailable() < this.#again();
  }

  /** How many bytes of what lives can be moved out of segments. */
  get roomForMoves(): number {
    const kept = (this.#goal || this.#length) * KEPT_PART.rewrite;
    return this.#knownAvailable() + Math.max(0, this.#length - kept);
  }

  admit(claim: Claim): void {
    if (claim !== "grow") return;
    // Who asks need not wait for the next look.
    if (this.isFull && !this.isBroken) this.#whole();
    if (!this.isBroken && !this.isFull) return;
    throw new StoreError("STORE_FULL", "the disk under the store is full");
  }

  give(claim: Claim, length: number): boolean {
    this.#tellFull();
    if (claim === "grow") return false;
    const goal = this.#goal || this.#length;
    const left = Math.max(
      goal * KEPT_PART[claim],
      this.#length - Math.max(GIVEN_LENGTH_MIN, 2 * length),
    );
    if (left >= this.#length || !this.#cut(Math.floor(left))) return false;
    this.#goal = goal;
    return true;
  }

  /** Whether the disk has room for so many bytes that are not needed to delete. */
  hasRoomFor(bytes: number): boolean {
    return !this.isBroken && this.#available() >= bytes;
  }

  /** The same of room that cleaning needs: as much of the reserve is given back as is missing, if that is enough. */
  makeRoomFor(bytes: number): boolean {
    const missing = bytes - this.#available();
    if (missing <= 0) return true;
    const goal = this.#goal || this.#length;
    const left = Math.floor(this.#length - missing - CUT_SLACK);
    if (left < goal * RECORD_PART) return false;
    this.#tellFull();
    if (!this.#cut(left)) return false;
    this.#goal = goal;
    return this.#available() >= bytes;
  }

  #wait(ms: number): void {
    this.#timer = setTimeout(() => this.#look(), ms).unref();
  }

  #look(): void {
    this.#wait(this.#fill() ? PIECE_MS : LOOK_MS);
    if (this.isFull) this.#onStillFull();
  }

  /** Writes a piece of what is missing, if there is room for all of it. Whether more is to be done. */
  #fill(): boolean {
    const missing = this.#target() - this.#length;
    if (missing <= 0) {
      this.#sync();
      return false;
    }
    // What only follows the log may not take the last room; what was given back comes first.
    const besides = this.isBroken ? 0 : Math.max(missing, LENGTH_MIN);
    if (this.#available() < missing + besides) return false;
    return this.#write(Math.min(WRITTEN_LENGTH_MAX, missing));
  }

  #target(): number {
    if (this.#goal > 0) return this.#goal;
    if (this.#length >= this.#lengthMax) return this.#length;
    const { blockSize, blocks } = this.#space();
    const longest = Math.min(this.#lengthMax, Math.floor(blocks * DISK_SHARE) * blockSize);
    const isShort = SEGMENTS * this.#logLength() < this.#lengthMax;
    return Math.max(this.#length, isShort ? Math.min(longest, LENGTH_MIN) : longest);
  }

  #available(): number {
    const { blockSize, blocks, free, available } = this.#space();
    if (process.getuid?.() !== 0) return blockSize * available;
    // Some file systems keep the last blocks for root, and ext4 keeps some from everybody, for its own needs.
    const ofNobody = Math.min(Math.ceil(blocks * OF_NOBODY_SHARE), OF_NOBODY_BLOCKS_MAX);
    return blockSize * Math.max(available, free - ofNobody);
  }

  #again(): number {
    const { blockSize, blocks } = this.#space();
    return Math.min(AGAIN_MAX, Math.max(AGAIN_MIN, blocks * blockSize * AGAIN_SHARE));
  }

  /** Of a disk that does not answer: as much as anybody asks for. */
  #knownAvailable(): number {
    return this.#space().blocks === 0 ? Infinity : this.#available();
  }

  /** A disk that does not answer has no room. */
  #space(): Space {
    try {
      return this.#disk.space(this.#store);
    } catch {
      return { blockSize: 1, blocks: 0, free: 0, available: 0 };
    }
  }

  /** Bytes that no file system finds a shorter way to keep. */
  #write(length: number): boolean {
    const bytes = randomFillSync(Buffer.allocUnsafe(length));
    try {
      this.#open((fd) => {
        for (let at = 0; at < length;) {
          at += this.#disk.write(fd, bytes.subarray(at), this.#length + at);
        }
      });
    } catch {
      this.#cut(this.#length);
      return false;
    }
    this.#length += length;
    this.#unsynced += length;
    return true;
  }

  /** It counts as whole when it is on stable storage. */
  #sync(): void {
    if (this.#isSyncing) return;
    if (this.#unsynced === 0) return this.#whole();
    const fd = this.#descriptor();
    if (fd === undefined) return;
    this.#isSyncing = true;
    this.#disk.fdatasyncLater(fd, (error) => {
      this.#isSyncing = false;
      this.#disk.close(fd);
      this.#unsynced = 0;
      // What could not be written is written again, elsewhere.
      if (error !== null) this.#cut(0);
      else if (this.#target() <= this.#length) this.#whole();
    });
  }

  #whole(): void {
    if (!this.#isFull) {
      this.#goal = 0;
      return;
    }
    const nowMs = performance.now();
    if (nowMs < this.#believedAtMs || this.#available() < this.#again()) return;
    this.#goal = 0;
    this.#isFull = false;
    this.#believedAtMs = nowMs;
    process.emitWarning("the disk under the store has room again: mail is taken");
  }

  #tellFull(): void {
    if (this.#isFull) return;
    this.#isFull = true;
    const nowMs = performance.now();
    const lasted = this.#believedMs === 0 || nowMs - this.#believedAtMs > LASTING_MS;
    this.#believedMs = lasted ? LOOK_MS : Math.min(2 * this.#believedMs, BELIEVED_MS_MAX);
    this.#believedAtMs = nowMs + (lasted ? 0 : this.#believedMs);
    process.emitWarning(
      "the disk under the store is full: no mail is taken until there is room again; deleting works",
    );
  }

  #cut(length: number): boolean {
    try {
      this.#open((fd) => {
        this.#disk.truncate(fd, length);
        this.#length = length;
        // Some file systems give blocks back with their next journal entry only.
        this.#disk.fsync(fd);
      });
    } catch {
      return this.#length === length;
    }
    return true;
  }

  #open(use: (fd: number) => void): void {
    const fd = this.#disk.open(this.#path, this.#exists() ? "r+" : "wx+");
    try {
      use(fd);
    } finally {
      this.#disk.close(fd);
    }
  }

  #exists(): boolean {
    return this.#disk.exists(this.#path);
  }

  #descriptor(): number | undefined {
    try {
      return this.#disk.open(this.#path, "r+");
    } catch {
      return undefined;
    }
  }
}

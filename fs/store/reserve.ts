/**
 * A file of bytes that mean nothing, kept back for when the disk is full: deleting needs room too, for the log says
 * what was deleted, and moving live bytes out of a segment needs room before it gives any.
 *
 *     whole --a write found no room--> broken into --room comes back, once a second--> filled --whole
 *
 * Invariants:
 * - What is given back is given to changes that free or finish something; others are refused from then on until
 *   the reserve is whole again, so that they do not take what it was given for.
 * - It is short as long as the log is one segment, which cannot be cleaned yet: a small store stays small.
 */
import { randomFillSync } from "node:crypto";
import type { Disk, Space } from "./disk.ts";
import { StoreError } from "./errors.ts";
import { reservePath } from "./paths.ts";
import type { Claim, Room } from "./room.ts";

/** The shortest one, where the disk is large enough. */
const LENGTH_MIN = 4 * 1024 * 1024;
/** Segments that it holds when the log has at least one that is ended. */
const SEGMENTS = 2;
/** The part of a disk's blocks that it may take. */
const DISK_SHARE = 1 / 16;
const GIVEN_LENGTH_MIN = 256 * 1024;
const WRITTEN_LENGTH_MAX = 1024 * 1024;
/** A disk with less is still called full. */
const ROOM_AGAIN = 1024 * 1024;
const LOOK_MS = 1_000;
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
  #isTold = false;
  /** The length that it had when some of it was given back; 0: it is not broken into. */
  #goal = 0;
  #logLength: () => number = () => 0;
  #timer: NodeJS.Timeout | undefined;

  constructor({ disk, store, segmentLength }: ReserveOptions) {
    this.#disk = disk;
    this.#store = store;
    this.#path = reservePath(store);
    this.#lengthMax = SEGMENTS * segmentLength;
    this.#length = this.#exists() ? disk.length(this.#path) : 0;
  }

  /** Begins to look after it by itself; `logLength` tells the bytes of the log. */
  start(logLength: () => number): void {
    this.#logLength = logLength;
    // An earlier process may have given some of it back.
    const target = this.#target();
    if (this.#exists() && target - this.#length > this.#available()) this.#goal = target;
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

  admit(claim: Claim): void {
    if (claim !== "grow" || !this.isBroken) return;
    throw new StoreError("STORE_FULL", "the disk under the store is full");
  }

  give(claim: Claim, length: number): boolean {
    this.#tellFull();
    if (claim === "grow") return false;
    const goal = this.#goal || this.#length;
    const kept = claim === "free" ? 0 : goal / 2;
    const left = Math.max(kept, this.#length - Math.max(GIVEN_LENGTH_MIN, 2 * length));
    if (left >= this.#length || !this.#cut(Math.floor(left))) return false;
    this.#goal = goal;
    return true;
  }

  /** Whether the disk has room for so many bytes that are not needed to delete. */
  hasRoomFor(bytes: number): boolean {
    return !this.isBroken && this.#available() >= bytes;
  }

  #wait(ms: number): void {
    this.#timer = setTimeout(() => this.#wait(this.#fill() ? PIECE_MS : LOOK_MS), ms).unref();
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
    const { blockSize, free, available } = this.#space();
    // Some file systems keep the last blocks for root.
    return blockSize * (process.getuid?.() === 0 ? free : available);
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
    this.#goal = 0;
    if (!this.#isTold || this.#available() < ROOM_AGAIN) return;
    this.#isTold = false;
    process.emitWarning("the disk under the store has room again: mail is taken");
  }

  #tellFull(): void {
    if (this.#isTold) return;
    this.#isTold = true;
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

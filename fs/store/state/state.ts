/**
 * The store's state: the index's rows, those in memory first. Reading loads a row into a bounded
 * cache; changing one goes through touch(), so that a checkpoint can write a consistent state while
 * the store goes on.
 *
 * Invariants:
 * - a row that differs from the index (generation > 0) is in memory and is not dropped;
 * - a removed row stays in memory, marked, until the index no longer has it;
 * - rows are dropped only by sweep(), which runs between operations: whoever holds a row holds it until
 *   its next await, no longer.
 * Not here: what a change means (apply.ts), when the index is written (checkpoint.ts).
 */
import { ByteReader, MalformedError } from "../../../base/bytes.ts";
import { StoreError } from "../errors.ts";
import { inodeKey, nameKey, nodeKey, unitKey } from "../index/keys.ts";
import type { Row, RowBatch } from "../index/row.ts";
import type { IndexReader } from "../index/store-index.ts";
import { placeOf, segmentOf } from "../records/place.ts";
import type { SegmentSet } from "../records/segment-set.ts";
import { NO_SEGMENTS } from "../records/segment-set.ts";
import { RowCache } from "./cache.ts";
import type { Counters } from "./counters.ts";
import { emptyCounters } from "./counters.ts";
import { Dentry, decodeNameRow } from "./dentry.ts";
import { DentryCache } from "./directory-cache.ts";
import { ExtentNode, ROOT_ID } from "./extent-node.ts";
import type { NodePool } from "./extent-tree.ts";
import { decodeInode, Inode } from "./inode.ts";
import type { MapPrefix } from "./map-prefix.ts";
import type { Pending } from "./pending.ts";
import { SegmentUse } from "./segment-use.ts";
import { decodeUnit, Unit } from "./unit.ts";

export interface CacheLimits {
  readonly inodesMax: number;
  /** Bytes of rows, for inodes and for units each. An object takes about 800 bytes more than its row. */
  readonly rowBytesMax: number;
  readonly dentriesMax: number;
  readonly unitsMax: number;
  /** Nodes of extent trees besides the roots. */
  readonly nodesMax: number;
}

export const CACHE_LIMITS: CacheLimits = {
  inodesMax: 100_000,
  rowBytesMax: 24 * 1024 * 1024,
  dentriesMax: 150_000,
  unitsMax: 40_000,
  nodesMax: 20_000,
};

export class State implements NodePool {
  counters: Counters = emptyCounters();
  /** The place of the record that is being applied, or was last (placeOf). */
  place = 0;
  /** The index is being made from a log with gaps: units are counted, and not removed (rebuild.ts). */
  rebuilding = false;
  /** A snapshot in several commits is under way, of this file. */
  mapPrefix: MapPrefix | undefined;
  /** Segments that cleaning has removed from the log. */
  removedSegments: SegmentSet = NO_SEGMENTS;
  readonly segments = new Map<number, SegmentUse>();
  readonly pending = new Map<number, Pending>();
  /** Inodes without a name that somebody may still have open. */
  readonly orphans = new Set<number>();
  /** Units that were written and that no extent names yet. */
  readonly unlinked = new Set<number>();
  readonly inodes: RowCache<number, Inode>;
  readonly units: RowCache<number, Unit>;
  readonly dentries: DentryCache;
  /** Extents that were added or taken away since the last freeze: how far the index lags. */
  extentsChanged = 0;
  /** About how many bytes a checkpoint would write now. */
  changedBytes = 0;

  readonly #index: IndexReader;
  readonly #limits: CacheLimits;
  #generation = 1;
  #changed: Row[] = [];
  /** changedBytes of the rows that a checkpoint is writing. */
  #frozenBytes = 0;
  #frozenBatch: RowBatch | undefined;
  #nodesLoaded = 0;
  #sweepNodesAt: number;

  constructor(index: IndexReader, limits: CacheLimits = CACHE_LIMITS) {
    this.#index = index;
    this.#limits = limits;
    this.#sweepNodesAt = limits.nodesMax;
    this.inodes = new RowCache(limits.inodesMax, limits.rowBytesMax);
    this.units = new RowCache(limits.unitsMax, limits.rowBytesMax);
    this.dentries = new DentryCache(limits.dentriesMax);
  }

  inode(ino: number): Inode | undefined {
    let inode = this.inodes.get(ino);
    if (inode === undefined) {
      inode = this.#row(inodeKey(ino), (reader) => decodeInode(ino, reader, this));
      if (inode === undefined) return undefined;
      this.inodes.set(ino, inode);
    }
    return inode.removed ? undefined : inode;
  }

  dentry(parent: number, name: string): Dentry | undefined {
    const dentry = this.dentryOrTombstone(parent, name);
    return dentry === undefined || dentry.removed ? undefined : dentry;
  }

  /** The inode that a name stands for. */
  named(parent: number, name: string): Inode | undefined {
    const dentry = this.dentryOrTombstone(parent, name);
    if (dentry === undefined || dentry.removed) return undefined;
    const known = dentry.inode;
    if (known !== undefined && known.ino === dentry.ino && !known.dropped && !known.removed) {
      return known;
    }
    dentry.inode = this.inode(dentry.ino);
    return dentry.inode;
  }

  /** Also a name that was removed since the last checkpoint. */
  dentryOrTombstone(parent: number, name: string): Dentry | undefined {
    let dentry = this.dentries.get(parent, name);
    if (dentry === undefined) {
      dentry = this.#row(nameKey(parent, name), (reader) => decodeNameRow(parent, name, reader));
      if (dentry === undefined) return undefined;
      this.dentries.set(dentry);
    }
    return dentry;
  }

  unit(id: number): Unit | undefined {
    let unit = this.units.get(id);
    if (unit === undefined) {
      unit = this.#row(unitKey(id), (reader) => decodeUnit(id, reader));
      if (unit === undefined) return undefined;
      this.units.set(id, unit);
    }
    return unit.removed ? undefined : unit;
  }

  load(ino: number, id: number): ExtentNode {
    const node = this.#row(nodeKey(ino, id), (reader) => ExtentNode.decode(ino, id, reader));
    if (node === undefined) {
      throw new StoreError("INDEX_DAMAGED", `the index lacks node ${id} of inode ${ino}`);
    }
    this.#nodesLoaded++;
    return node;
  }

  made(): void {
    this.#nodesLoaded++;
  }

  counted(delta: number): void {
    this.counters.extents += delta;
  }

  segmentUse(segment: number): SegmentUse {
    let use = this.segments.get(segment);
    if (use === undefined) {
      use = new SegmentUse(segment, this.counters.nextIno, this.counters.nextPending);
      this.segments.set(segment, use);
    }
    return use;
  }

  /** What is applied from now on stands at this place. Every segment gets a row. */
  moveTo(segment: number, offset: number): void {
    this.place = placeOf(segment, offset);
    if (!this.segments.has(segment)) this.touch(this.segmentUse(segment));
  }

  /** Numbers were given out: the segment that says so has records with all numbers so far, for all we know. */
  numbered(): void {
    const use = this.segmentUse(segmentOf(this.place));
    const { nextIno, nextPending } = this.counters;
    if (use.endIno === nextIno && use.endPending === nextPending) return;
    this.touch(use);
    use.endIno = nextIno;
    use.endPending = nextPending;
  }

  /** Before a row is changed. */
  touch(changing: Row): void {
    let row = changing;
    if (row instanceof ExtentNode && row.id === ROOT_ID && row.owner !== undefined) row = row.owner;
    if (row.generation === this.#generation) return;
    if (row.frozen && this.#frozenBatch !== undefined) {
      row.write(this.#frozenBatch);
      row.frozen = false;
    }
    row.generation = this.#generation;
    this.#changed.push(row);
    this.changedBytes += row.weight;
    if (row instanceof Dentry) this.dentries.changed(row);
  }

  /**
   * Ends a generation: its rows keep their states for the batch, which is written row by row with
   * writeFrozen, and by touch. `thawed` ends it.
   */
  freeze(batch: RowBatch): Row[] {
    const rows = this.#changed;
    for (const row of rows) row.frozen = true;
    this.#changed = [];
    this.#frozenBatch = batch;
    this.#generation++;
    this.extentsChanged = 0;
    this.#frozenBytes = this.changedBytes;
    this.changedBytes = 0;
    return rows;
  }

  writeFrozen(row: Row): void {
    if (!row.frozen || this.#frozenBatch === undefined) return;
    row.write(this.#frozenBatch);
    row.frozen = false;
  }

  /** The index has a frozen row's state now; `generation` is the one that was frozen. */
  thawed(row: Row, generation: number): void {
    if (row.generation !== generation) return;
    row.generation = 0;
    if (row instanceof Dentry) this.dentries.written(row);
    else if (row.removed) this.#dropRemoved(row);
    else if (row instanceof Inode) this.inodes.weigh(row);
    else if (row instanceof Unit) this.units.weigh(row);
  }

  endFreeze(): void {
    this.#frozenBatch = undefined;
    this.#frozenBytes = 0;
  }

  /** The batch was not written: its rows are changed rows again, and the next checkpoint writes them. */
  unfreeze(rows: readonly Row[], generation: number, extents: number): void {
    this.#frozenBatch = undefined;
    this.#frozenBytes = 0;
    this.extentsChanged += extents;
    for (const row of rows) {
      row.frozen = false;
      if (row.generation !== generation) continue;
      row.generation = this.#generation;
      this.#changed.push(row);
      this.changedBytes += row.weight;
    }
  }

  /** About how many bytes the index lacks, those that a checkpoint is writing among them. */
  get unwrittenBytes(): number {
    return this.changedBytes + this.#frozenBytes;
  }

  get generation(): number {
    return this.#generation;
  }

  get full(): boolean {
    return (
      this.inodes.full ||
      this.units.full ||
      this.dentries.full ||
      this.#nodesLoaded > this.#sweepNodesAt
    );
  }

  /**
   * Only between operations: see the invariants. One of the caches at a time, which takes some milliseconds; another one
   * that is full has its turn when this is called again.
   */
  sweep(): void {
    if (this.inodes.full) this.inodes.sweep();
    else if (this.units.full) this.units.sweep();
    else if (this.dentries.full) this.dentries.sweep();
    else if (this.#nodesLoaded > this.#sweepNodesAt) {
      this.#nodesLoaded = 0;
      for (const inode of this.inodes.values()) this.#nodesLoaded += inode.tree.unload();
      // What is left has changed: no use in trying again before a checkpoint has written some of it.
      this.#sweepNodesAt = Math.max(this.#limits.nodesMax, this.#nodesLoaded * 2);
    }
  }

  #dropRemoved(row: Row): void {
    if (row instanceof Inode) this.inodes.delete(row.ino);
    else if (row instanceof Unit) this.units.delete(row.id);
  }

  #row<R>(key: Buffer, decode: (reader: ByteReader) => R): R | undefined {
    const bytes = this.#index.get(key);
    if (bytes === undefined) return undefined;
    try {
      return decode(new ByteReader(bytes));
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      const name = `${key.toString("latin1", 0, 1)}:${key.toString("hex", 1)}`;
      throw new StoreError("INDEX_DAMAGED", `row ${name} of the index: ${error.message}`, {
        cause: error,
      });
    }
  }
}

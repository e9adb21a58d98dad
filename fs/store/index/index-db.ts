/**
 * The index on disk: LevelDB. It is a convenience: all that is in it can be made again from the log.
 */
import * as fs from "node:fs";
import { rm } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { ClassicLevel } from "classic-level";
import { systemDisk } from "../disk/system-disk.ts";
import { StoreError } from "../errors.ts";
import {
  goneIndexDirectory,
  indexDirectory,
  newIndexDirectory,
  oldIndexDirectory,
} from "../paths.ts";
import { copyIndex } from "./index-copy.ts";
import { META_KEY } from "./keys.ts";
import { checkLevelFiles } from "./leveldb/check-files.ts";
import type { IndexBatch, IndexRows, KeyRange, StoreIndex } from "./store-index.ts";

const OPTIONS = {
  keyEncoding: "buffer",
  valueEncoding: "buffer",
  cacheSize: 12 * 1024 * 1024,
  writeBufferSize: 8 * 1024 * 1024,
  maxOpenFiles: 512,
} as const;

/** What a start reads of the index at most to find damage: half a second. fsck reads all of it. */
const CHECKED_BYTES_MAX = 512 * 1024 * 1024;

const ROWS_AT_ONCE = 1_000;

/** Who lists a directory while the index is repaired goes on in the old one for so long. */
const OLD_ROWS_MS_MAX = 10_000;
const OLD_ROWS_LOOK_MS = 20;

type Level = ClassicLevel<Buffer, Buffer>;

export class IndexDb implements StoreIndex {
  readonly #store: string;
  #level: Level;
  /** Of the level's directory, if that has another path than the level was opened by. */
  #directory: number | undefined;
  /** A write has failed. */
  #isBroken = false;
  /** It could not be repaired: that is left to a start. */
  #isStuck = false;
  /** Those that are open. */
  #rows = new Set<IndexRows>();

  private constructor(store: string, level: Level) {
    this.#store = store;
    this.#level = level;
  }

  static async open(store: string): Promise<IndexDb> {
    finishRepair(store);
    IndexDb.#checkFiles(store);
    return new IndexDb(store, await openLevel(indexDirectory(store)));
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  /**
   * After a write that failed: another LevelDB with the same rows, which can be written, takes the place of this one.
   * Rows can be read all the time. No write may be under way.
   */
  async repair(): Promise<void> {
    const path = indexDirectory(this.#store);
    const newPath = newIndexDirectory(this.#store);
    let directory: number | undefined;
    let level: Level;
    if (this.#isStuck) throw new StoreError("STORE_IO", "the index is repaired by the next start");
    try {
      await copyIndex(path, newPath);
      directory = fs.openSync(newPath, "r");
      // By its descriptor, for its path is going to change.
      level = await openLevel(`/proc/self/fd/${directory}`);
    } catch (error) {
      if (directory !== undefined) fs.closeSync(directory);
      throw error instanceof StoreError ? error : indexError("cannot copy the index", error);
    }
    const [old, oldDirectory, oldRows] = [this.#level, this.#directory, this.#rows];
    this.#level = level;
    this.#directory = directory;
    this.#rows = new Set();
    const since = performance.now();
    while (oldRows.size > 0 && performance.now() - since < OLD_ROWS_MS_MAX) {
      await pause(OLD_ROWS_LOOK_MS);
    }
    await old.close();
    if (oldDirectory !== undefined) fs.closeSync(oldDirectory);
    const gonePath = goneIndexDirectory(this.#store);
    try {
      // A name that an earlier repair could not get rid of.
      await rm(gonePath, { recursive: true, force: true });
      fs.renameSync(path, gonePath);
      fs.renameSync(newPath, path);
      // Before the old files go: a power cut must not leave their directory as the index.
      systemDisk.syncDirectory(this.#store);
    } catch (error) {
      // Nothing was written to the new one, and nothing must be: a start may find the old one.
      this.#isStuck = true;
      throw indexError("cannot rename the index", error);
    }
    this.#isBroken = false;
    // What cannot be removed is removed by the next repair or start.
    await rm(gonePath, { recursive: true, force: true }).catch(() => {});
  }

  /** LevelDB itself would hand out what a damaged block holds, or miss a row that is there. */
  static #checkFiles(store: string): void {
    const [found] = checkLevelFiles(indexDirectory(store), {
      bytesMax: CHECKED_BYTES_MAX,
      mayBeTorn: true,
    }).damage;
    if (found === undefined) return;
    const where = `${found.file}, offset ${found.offset}`;
    throw new StoreError("INDEX_DAMAGED", `the index is damaged: ${where}`);
  }

  /** At once, whatever happens meanwhile: LevelDB would open some of its files as an index of an earlier time. */
  static remove(store: string): void {
    const gonePath = goneIndexDirectory(store);
    for (const path of [gonePath, newIndexDirectory(store)]) {
      fs.rmSync(path, { recursive: true, force: true });
    }
    if (!fs.existsSync(indexDirectory(store))) return;
    fs.renameSync(indexDirectory(store), gonePath);
    systemDisk.syncDirectory(store);
    fs.rmSync(gonePath, { recursive: true, force: true });
  }

  static setAside(store: string): void {
    if (!fs.existsSync(indexDirectory(store))) return;
    IndexDb.dropAside(store);
    fs.renameSync(indexDirectory(store), oldIndexDirectory(store));
  }

  static putBack(store: string): void {
    if (!fs.existsSync(oldIndexDirectory(store))) return;
    IndexDb.remove(store);
    fs.renameSync(oldIndexDirectory(store), indexDirectory(store));
  }

  static dropAside(store: string): void {
    fs.rmSync(oldIndexDirectory(store), { recursive: true, force: true });
  }

  get(key: Buffer): Buffer | undefined {
    try {
      return this.#level.getSync(key);
    } catch (error) {
      throw indexError("cannot read the index", error);
    }
  }

  meta(): Buffer | undefined {
    return this.get(META_KEY);
  }

  batch(): IndexBatch {
    const batch = this.#level.batch();
    return {
      put: (key, value) => batch.put(key, value),
      del: (key) => batch.del(key),
      write: async () => {
        try {
          await batch.write({ sync: true });
        } catch (error) {
          this.#isBroken = true;
          throw indexError("cannot write the index", error);
        }
      },
    };
  }

  rows(range: KeyRange): IndexRows {
    const all = this.#rows;
    const rows = new LevelRows(this.#level.iterator(range), () => all.delete(rows));
    all.add(rows);
    return rows;
  }

  async each(range: KeyRange, visit: (key: Buffer, value: Buffer) => void): Promise<void> {
    const rows = this.rows(range);
    try {
      for (;;) {
        const some = await rows.next(ROWS_AT_ONCE);
        if (some.length === 0) return;
        for (const [key, value] of some) visit(key, value);
      }
    } finally {
      await rows.close();
    }
  }

  async close(): Promise<void> {
    await this.#level.close();
    if (this.#directory !== undefined) fs.closeSync(this.#directory);
  }
}

interface LevelIterator {
  nextv(count: number): Promise<[Buffer, Buffer][]>;
  close(): Promise<void>;
}

class LevelRows implements IndexRows {
  readonly #iterator: LevelIterator;

  readonly #onClosed: () => void;

  constructor(iterator: LevelIterator, onClosed: () => void) {
    this.#iterator = iterator;
    this.#onClosed = onClosed;
  }

  async next(countMax: number): Promise<[Buffer, Buffer][]> {
    try {
      return await this.#iterator.nextv(countMax);
    } catch (error) {
      throw indexError("cannot read the index", error);
    }
  }

  async close(): Promise<void> {
    this.#onClosed();
    await this.#iterator.close();
  }
}

async function openLevel(path: string): Promise<Level> {
  const level = new ClassicLevel<Buffer, Buffer>(path, OPTIONS);
  try {
    await level.open();
  } catch (error) {
    throw indexError("cannot open the index", error);
  }
  return level;
}

/** A crash may have ended a repair: before it took the old one away, or after. */
function finishRepair(store: string): void {
  const [path, newPath] = [indexDirectory(store), newIndexDirectory(store)];
  fs.rmSync(goneIndexDirectory(store), { recursive: true, force: true });
  if (!fs.existsSync(newPath)) return;
  if (fs.existsSync(path)) fs.rmSync(newPath, { recursive: true, force: true });
  else fs.renameSync(newPath, path);
}

function indexError(what: string, error: unknown): StoreError {
  const cause = error as Error & { code?: string; cause?: Error & { code?: string } };
  const inner = cause.cause ?? cause;
  const damaged =
    inner.code === "LEVEL_CORRUPTION" ||
    /Corruption|missing files|Is a directory|No such file/.test(inner.message);
  const full = /No space left|quota/i.test(inner.message);
  return new StoreError(
    damaged ? "INDEX_DAMAGED" : full ? "STORE_FULL" : "STORE_IO",
    `${what}: ${inner.message}`,
    { cause: error },
  );
}

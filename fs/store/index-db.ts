/**
 * The index on disk: LevelDB. It is a convenience: all that is in it can be made again from the log.
 */
import { ClassicLevel } from "classic-level";
import * as fs from "node:fs";
import { StoreError } from "./errors.ts";
import { META_KEY } from "./keys.ts";
import { checkLevelFiles } from "./leveldb/check-files.ts";
import { indexDirectory, oldIndexDirectory } from "./paths.ts";
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

type Level = ClassicLevel<Buffer, Buffer>;

export class IndexDb implements StoreIndex {
  readonly #level: Level;

  private constructor(level: Level) {
    this.#level = level;
  }

  static async open(store: string): Promise<IndexDb> {
    IndexDb.#checkFiles(store);
    const level = new ClassicLevel<Buffer, Buffer>(indexDirectory(store), OPTIONS);
    try {
      await level.open();
    } catch (error) {
      throw indexError("cannot open the index", error);
    }
    return new IndexDb(level);
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

  static remove(store: string): void {
    fs.rmSync(indexDirectory(store), { recursive: true, force: true });
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
          throw indexError("cannot write the index", error);
        }
      },
    };
  }

  rows(range: KeyRange): IndexRows {
    return new LevelRows(this.#level.iterator(range));
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
  }
}

interface LevelIterator {
  nextv(count: number): Promise<[Buffer, Buffer][]>;
  close(): Promise<void>;
}

class LevelRows implements IndexRows {
  readonly #iterator: LevelIterator;

  constructor(iterator: LevelIterator) {
    this.#iterator = iterator;
  }

  async next(countMax: number): Promise<[Buffer, Buffer][]> {
    try {
      return await this.#iterator.nextv(countMax);
    } catch (error) {
      throw indexError("cannot read the index", error);
    }
  }

  async close(): Promise<void> {
    await this.#iterator.close();
  }
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

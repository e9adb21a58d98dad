/** A file of the source as it is, byte by byte; it need not be an mbox. */
import type { BigIntStats } from "node:fs";
import { attributesOf } from "./attributes.ts";
import { Skip } from "./failures.ts";
import type { HeldDirectory } from "./held-directory.ts";
import { isUnchanged, openUnlocked, settledStat, type LockWait } from "./locked-source.ts";
import type { State } from "./mark.ts";
import type { MailboxSource, OpenSource } from "./source.ts";

const CHUNK_BYTES = 1024 * 1024;
/** stat(2) counts blocks of this length, whatever the file system's are. */
const BLOCK_BYTES = 512n;

export class FileSource implements MailboxSource {
  readonly path: string;
  readonly isMaildir = false;
  readonly #directory: HeldDirectory;
  readonly #name: string;
  readonly #wait: LockWait;

  /** `name`: in `directory`, which the caller holds open. */
  constructor(path: string, directory: HeldDirectory, name: string, wait: LockWait) {
    this.path = path;
    this.#directory = directory;
    this.#name = name;
    this.#wait = wait;
  }

  async look(): Promise<State> {
    return stateOf(await this.#directory.lstat(this.#name));
  }

  async open(): Promise<OpenSource> {
    const path = this.#directory.at(this.#name);
    const file = await openUnlocked(path, this.#wait);
    if (file === undefined) throw new Skip("locked", "another program holds a lock on it");
    const stats = await settledStat(file);
    try {
      if (!stats.isFile()) throw new Skip("busy", "something else has its name now");
      this.#directory.checkLinks(stats, this.#directory.stats.uid);
    } catch (error) {
      await file.close();
      throw error;
    }
    const size = Number(stats.size);
    async function* chunks(): AsyncGenerator<Buffer> {
      for (let at = 0; at < size;) {
        const bytes = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, size - at));
        const { bytesRead } = await file!.read(bytes, 0, bytes.length, at);
        // It has become shorter: what was read is not used.
        if (bytesRead === 0) return;
        at += bytesRead;
        yield bytes.subarray(0, bytesRead);
      }
    }
    return {
      state: stateOf(stats),
      attributes: attributesOf(stats),
      isSparse: stats.blocks * BLOCK_BYTES < stats.size,
      descriptor: file.fd,
      chunks,
      isUnchanged: () => isUnchanged(path, file, stats),
      close: () => file.close(),
    };
  }
}

function stateOf({ size, mtimeNs }: BigIntStats): State {
  return { size, mtimeNs };
}

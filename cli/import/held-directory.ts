/**
 * A directory held by its descriptor, so that nobody who may rename it or put a link in its place leads us elsewhere:
 * what is in it is addressed as `/proc/self/fd/N/NAME` (Node has no openat(2)), and NAME is never followed when it is a
 * symbolic link. Whoever opens one closes it; a path from it means nothing after that.
 */
import { constants, type BigIntStats } from "node:fs";
import { lstat, open, readdir, type FileHandle } from "node:fs/promises";
import { Skip } from "./failures.ts";
import { openToRead } from "./locked-source.ts";
import { bytesOf } from "./names.ts";

const { O_DIRECTORY, O_NOATIME, O_NOFOLLOW, O_RDONLY } = constants;
const ROOT_UID = 0n;

/** Only the owner and root may leave the time of reading as it is. */
async function openDirectory(path: string): Promise<FileHandle> {
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  try {
    return await open(bytesOf(path), flags | O_NOATIME);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") throw error;
    return open(bytesOf(path), flags);
  }
}

export class HeldDirectory {
  readonly file: FileHandle;
  /** As it was when it was opened. */
  readonly stats: BigIntStats;

  private constructor(file: FileHandle, stats: BigIntStats) {
    this.file = file;
    this.stats = stats;
  }

  /** `path`: of the first one; what stands above it is trusted. Refuses a symbolic link. */
  static async open(path: string): Promise<HeldDirectory> {
    const file = await openDirectory(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ELOOP" && error.code !== "ENOTDIR") throw error;
      throw new Skip("refused", "a symbolic link or a file is where a directory should be");
    });
    try {
      return new HeldDirectory(file, await file.stat({ bigint: true }));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  at(name: string): string {
    return `/proc/self/fd/${this.file.fd}/${name}`;
  }

  enter(name: string): Promise<HeldDirectory> {
    return HeldDirectory.open(this.at(name));
  }

  lstat(name: string): Promise<BigIntStats> {
    return lstat(bytesOf(this.at(name)), { bigint: true });
  }

  /** Sorted by byte. */
  async names(): Promise<string[]> {
    const names = await readdir(bytesOf(this.at("")), { encoding: "buffer" });
    return names.map((name) => name.toString("latin1")).sort();
  }

  /** Opens a regular file, without ever waiting for a program at the other end of a pipe. */
  async openRegular(name: string): Promise<FileHandle> {
    const named = await this.lstat(name);
    if (!named.isFile()) throw new Skip("refused", "no regular file; not read");
    const file = await openToRead(this.at(name)).catch((error: NodeJS.ErrnoException) => {
      throw error.code === "ELOOP" ? new Skip("refused", "a symbolic link; not read") : error;
    });
    try {
      const stats = await file.stat({ bigint: true });
      const isSame = stats.isFile() && stats.ino === named.ino && stats.dev === named.dev;
      if (!isSame) throw new Skip("busy", "something else has its name now");
      this.checkLinks(stats, this.stats.uid);
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Where the kernel allows it, anybody can link anybody's file into a directory of his own. */
  checkLinks(stats: BigIntStats, owner: bigint): void {
    if (stats.nlink === 1n || stats.uid === owner || owner === ROOT_UID) return;
    throw new Skip("refused", "a hard link to a file of somebody else; not read");
  }

  close(): Promise<void> {
    return this.file.close();
  }
}

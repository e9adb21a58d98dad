/**
 * Files that are being made, in one directory at the top of the target that nobody but the importer may enter: owners
 * of directories of the target can neither open them nor put others in their place. Each gets its final name only when
 * it is whole and on stable storage. Its maker holds a lock on it, so that another run knows what was left behind by one that
 * was killed.
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { mkdir, open, rmdir, unlink, type FileHandle } from "node:fs/promises";
import { CommandFailure } from "../failure.ts";
import { Skip } from "./failures.ts";
import { HeldDirectory } from "./held-directory.ts";
import { openToRead, tryReadLock, tryWriteLock } from "./locked-source.ts";
import { bytesOf, join, TEMPORARY_PREFIX, textOf } from "./names.ts";

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants;
export const TEMPORARY_DIRECTORY = ".onespool-import";
const MODE = 0o700;

export interface Temporary {
  /** From the top of the target. */
  readonly name: string;
  readonly path: string;
  readonly file: FileHandle;
}

export class TemporaryDirectory {
  readonly #top: HeldDirectory;
  readonly #directory: HeldDirectory;
  /** While it is locked, no other import takes the directory away. */
  #sign: Temporary | undefined;
  #isEnded = false;

  private constructor(top: HeldDirectory, directory: HeldDirectory) {
    this.#top = top;
    this.#directory = directory;
  }

  /** `device`: of the spool. Removes what a run that was ended in the middle has left. */
  static async open(target: string, device: bigint): Promise<TemporaryDirectory> {
    const top = await HeldDirectory.open(target);
    try {
      const made = new TemporaryDirectory(top, await enter(top, target, device));
      await removeLeftOvers(made.#directory);
      made.#sign = await made.make();
      return made;
    } catch (error) {
      await top.close();
      throw error;
    }
  }

  newPath(): string {
    return this.#directory.at(newName());
  }

  async make(): Promise<Temporary> {
    const name = newName();
    const path = this.#directory.at(name);
    const file = await open(bytesOf(path), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    tryWriteLock(file);
    return { name: join(TEMPORARY_DIRECTORY, name), path, file };
  }

  /** Takes the directory away, unless another import works with it too. */
  async end(): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    if (this.#sign !== undefined) await endTemporary(this.#sign);
    await rmdir(bytesOf(this.#top.at(TEMPORARY_DIRECTORY))).catch(() => undefined);
    await Promise.all([this.#directory.close(), this.#top.close()]);
  }
}

function newName(): string {
  return TEMPORARY_PREFIX + randomBytes(8).toString("hex");
}

async function enter(top: HeldDirectory, target: string, device: bigint): Promise<HeldDirectory> {
  await mkdir(bytesOf(top.at(TEMPORARY_DIRECTORY)), { mode: MODE }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    },
  );
  const inTheWay = (): CommandFailure =>
    new CommandFailure(
      `${textOf(join(target, TEMPORARY_DIRECTORY))}: something of somebody else is in the way`,
    );
  const directory = await top.enter(TEMPORARY_DIRECTORY).catch((error: unknown) => {
    throw error instanceof Skip ? inTheWay() : error;
  });
  try {
    const { uid, dev } = directory.stats;
    if (uid !== BigInt(process.geteuid!()) || dev !== device) throw inTheWay();
    await directory.file.chmod(MODE);
    return directory;
  } catch (error) {
    await directory.close();
    throw error;
  }
}

/** Closes it; takes the name away if it is still there. */
export async function endTemporary({ path, file }: Temporary): Promise<void> {
  await file.close();
  await unlink(bytesOf(path)).catch(() => undefined);
}

async function removeLeftOvers(directory: HeldDirectory): Promise<void> {
  for (const name of await directory.names()) {
    const path = directory.at(name);
    const file = await openToRead(path).catch(() => undefined);
    // Without a lock: a symbolic link, of which there is only an unfinished one. A shared lock is enough to see the
    // exclusive one of a maker that lives.
    if (file === undefined || tryReadLock(file)) {
      await unlink(bytesOf(path)).catch(() => undefined);
    }
    await file?.close();
  }
}

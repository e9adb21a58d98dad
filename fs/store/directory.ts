/**
 * The directory that a store is: made once, marked with its format, and held by one process at a time
 * through a lock that the kernel drops when the process ends, however it ends.
 */
import { tryLock } from "fs-native-extensions";
import * as fs from "node:fs";
import { join } from "node:path";
import { StoreError } from "./errors.ts";
import { FORMAT_VERSION } from "./format.ts";
import { FORMAT_FILE, LOCK_FILE, LOG_DIRECTORY, logDirectory } from "./paths.ts";
import { SegmentFiles, storageError, syncDirectory } from "./segment-files.ts";

/** What a store's format file says; programs of other formats refuse it by this line. */
const FORMAT_LINE = /^onespool store format (\d+)\n$/;

/** Whether the directory holds a store (of whatever format). */
export function isStore(directory: string): boolean {
  return fs.existsSync(join(directory, FORMAT_FILE));
}

/** Makes an empty store in a directory that is missing or empty. */
export function createStore(directory: string): void {
  try {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    const found = fs.readdirSync(directory).filter((name) => name !== "lost+found");
    if (found.some((name) => name !== LOG_DIRECTORY && name !== LOCK_FILE)) {
      throw new StoreError(
        "STORE_FORMAT",
        `${directory} is not a store and not empty (it has ${found[0]}); a new store needs an empty directory`,
      );
    }
    fs.mkdirSync(logDirectory(directory), { recursive: true, mode: 0o700 });
    const files = new SegmentFiles(directory);
    files.remove(1);
    files.create(1);
    files.closeAll();
    // Last: a directory without it is no store yet, and may be made one again.
    const path = join(directory, FORMAT_FILE);
    const fd = fs.openSync(path, "w", 0o600);
    fs.writeSync(fd, `onespool store format ${FORMAT_VERSION}\n`);
    fs.fsyncSync(fd);
    fs.closeSync(fd);
    syncDirectory(directory);
  } catch (error) {
    if (error instanceof StoreError) throw error;
    throw storageError(`cannot make a store in ${directory}`, error);
  }
}

export function checkFormat(directory: string): void {
  let line: string;
  try {
    line = fs.readFileSync(join(directory, FORMAT_FILE), "latin1");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new StoreError("STORE_FORMAT", `${directory} is not a store: it has no file "format"`);
    }
    throw storageError(`cannot read the store ${directory}`, error);
  }
  const version = Number(FORMAT_LINE.exec(line)?.[1]);
  if (version === FORMAT_VERSION) return;
  const problem = Number.isNaN(version)
    ? `its file "format" says ${JSON.stringify(line.slice(0, 60))}`
    : `it has format ${version}, and this program knows format ${FORMAT_VERSION}`;
  throw new StoreError("STORE_FORMAT", `${directory} cannot be opened: ${problem}`);
}

/** Takes the store for this process; throws STORE_BUSY. The descriptor holds the lock. */
export function lockStore(directory: string): number {
  let fd: number;
  try {
    fd = fs.openSync(join(directory, LOCK_FILE), "a+", 0o600);
  } catch (error) {
    throw storageError(`cannot open the store ${directory}`, error);
  }
  if (tryLock(fd)) {
    fs.ftruncateSync(fd, 0);
    fs.writeSync(fd, `${process.pid}\n`);
    return fd;
  }
  const holder = fs.readFileSync(join(directory, LOCK_FILE), "latin1").trim();
  fs.closeSync(fd);
  throw new StoreError(
    "STORE_BUSY",
    `the store ${directory} is in use by process ${holder || "(unknown)"}; only one may have it open`,
  );
}

export function unlockStore(fd: number): void {
  fs.closeSync(fd);
}

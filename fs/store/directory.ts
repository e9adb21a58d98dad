/**
 * The directory that a store is: made once, marked with its format, and held by one process at a time
 * through a lock that the kernel drops when the process ends, however it ends.
 */
import { dirname, join } from "node:path";
import type { Disk } from "./disk/disk.ts";
import { systemDisk } from "./disk/system-disk.ts";
import { readWholeFile, writeWholeFile } from "./disk/whole-file.ts";
import { StoreError } from "./errors.ts";
import { SegmentFiles, storageError } from "./log/segment-files.ts";
import {
  FORMAT_FILE,
  FORMAT_FILE_NEW,
  indexDirectory,
  LOCK_FILE,
  LOG_DIRECTORY,
  logDirectory,
} from "./paths.ts";
import { FORMAT_VERSION } from "./records/format.ts";

/** What a store's format file says; programs of other formats refuse it by this line. */
const FORMAT_LINE = /^onespool store format (\d+)\n$/;
/** What is read of the format file and of the lock file; both are a line. */
const LINE_LENGTH_MAX = 4096;

/** Whether the directory holds a store (of whatever format). */
export function isStore(directory: string, disk: Disk = systemDisk): boolean {
  return disk.exists(join(directory, FORMAT_FILE));
}

/** What a creation that did not come to its end leaves. */
const UNFINISHED: readonly string[] = [LOG_DIRECTORY, LOCK_FILE, FORMAT_FILE_NEW];

/** Makes an empty store in a directory that is missing or empty; it is on stable storage when this returns. */
export function createStore(directory: string, disk: Disk): void {
  try {
    disk.makeDirectory(directory);
    const found = disk.list(directory).filter((name) => name !== "lost+found");
    const other = found.find((name) => !UNFINISHED.includes(name));
    if (other !== undefined) {
      throw new StoreError(
        "STORE_FORMAT",
        `${directory} is not a store and not empty (it has ${other}); a new store needs an empty directory`,
      );
    }
    syncAbove(directory, disk);
    disk.makeDirectory(logDirectory(directory));
    const files = new SegmentFiles(directory, disk);
    files.remove(1);
    files.create(1);
    files.closeAll();
    // Last: a directory without it is no store yet, and may be made one again.
    const line = Buffer.from(`onespool store format ${FORMAT_VERSION}\n`);
    writeWholeFile(disk, join(directory, FORMAT_FILE_NEW), line);
    disk.syncDirectory(directory);
    disk.rename(join(directory, FORMAT_FILE_NEW), join(directory, FORMAT_FILE));
    disk.syncDirectory(directory);
  } catch (error) {
    if (error instanceof StoreError) throw error;
    throw storageError(`cannot make a store in ${directory}`, error);
  }
}

/** The names of all directories above may be new as well. One that cannot be read was not made here. */
function syncAbove(directory: string, disk: Disk): void {
  for (let path = directory; path !== dirname(path); path = dirname(path)) {
    try {
      disk.syncDirectory(dirname(path));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "EACCES" && code !== "EPERM" && code !== "EINVAL") throw error;
    }
  }
}

/** Before anything else is done with a store. Throws StoreError when it is none that can be used. */
export function checkDirectory(directory: string, disk: Disk): void {
  checkFormat(directory, disk);
  for (const path of [logDirectory(directory), indexDirectory(directory)]) {
    refuseForeignLink(path, disk);
  }
  if (disk.exists(logDirectory(directory))) return;
  throw new StoreError(
    "STORE_DAMAGED",
    `${directory} has no directory "${LOG_DIRECTORY}", in which all of its mail is: ` +
      "if it was moved or is mounted there, bring it back; if not, restore a backup",
  );
}

/** Root may look at a store that is another user's, and must not change what a link of that user's leads to. */
function refuseForeignLink(path: string, disk: Disk): void {
  const owner = disk.linkOwner(path);
  if (owner === undefined || owner === 0 || owner === process.geteuid?.()) return;
  throw new StoreError(
    "STORE_FORMAT",
    `${path} is a symbolic link of user ${owner}; in a store only those of root and of your own are followed`,
  );
}

function checkFormat(directory: string, disk: Disk): void {
  const path = join(directory, FORMAT_FILE);
  let line: string;
  try {
    line = readLine(disk, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new StoreError("STORE_FORMAT", `${directory} is not a store: it has no file "format"`);
    }
    throw storageError(`cannot read ${path}`, error);
  }
  const version = Number(FORMAT_LINE.exec(line)?.[1]);
  if (version === FORMAT_VERSION) return;
  const problem = Number.isNaN(version)
    ? `its file "format" says ${JSON.stringify(line.slice(0, 60))}`
    : `it has format ${version}, and this program knows format ${FORMAT_VERSION}`;
  throw new StoreError("STORE_FORMAT", `${directory} cannot be opened: ${problem}`);
}

/** Names that a killed process left may not be on stable storage yet; what is written now relies on them. */
export function syncNames(directory: string, disk: Disk): void {
  try {
    disk.syncDirectory(directory);
    disk.syncDirectory(logDirectory(directory));
  } catch (error) {
    throw storageError(`cannot sync the names of the store ${directory}`, error);
  }
}

/** Takes the store for this process; throws STORE_BUSY. The descriptor holds the lock. */
export function lockStore(directory: string, disk: Disk = systemDisk): number {
  const path = join(directory, LOCK_FILE);
  let fd: number | undefined;
  try {
    fd = disk.lock(path);
    if (fd !== undefined) {
      writeHolder(disk, fd);
      return fd;
    }
  } catch (error) {
    if (fd !== undefined) disk.close(fd);
    throw storageError(`cannot lock the store with ${path}`, error);
  }
  const holder = readLine(disk, path).trim();
  throw new StoreError(
    "STORE_BUSY",
    `the store ${directory} is in use by process ${holder || "(unknown)"}; only one may have it open`,
  );
}

/** Who has the store, for whom it is refused to. A full disk does not keep a store from being opened. */
function writeHolder(disk: Disk, fd: number): void {
  const line = Buffer.from(`${process.pid}\n`);
  try {
    disk.write(fd, line, 0);
  } catch (error) {
    if (storageError("", error).code !== "STORE_FULL") throw error;
    return;
  }
  disk.truncate(fd, line.length);
}

export function unlockStore(fd: number, disk: Disk = systemDisk): void {
  disk.close(fd);
}

function readLine(disk: Disk, path: string): string {
  return readWholeFile(disk, path, LINE_LENGTH_MAX).toString("latin1");
}

/**
 * Loaded before `onespool mount` (node --import): mishaps of the process that serves, each as long as a file with its name
 * is in the directory ONESPOOL_TEST_MISHAPS.
 */
import childProcess from "node:child_process";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";

export type Mishap =
  /** It dies instead of having the mount made; once. */
  | "death before mount"
  /** It dies instead of answering the kernel's first request; once. */
  | "death at init"
  /** The successor cannot read the mount table; once. */
  | "no table"
  /** Long replies to the kernel get lost. */
  | "lost reads";

/** Descriptor of the device (fs/takeover/kept.ts). */
const DEVICE = 4;
/** A reply to a READ of more than a page, and to nothing else. */
const LONG = 8_000;

const directory = process.env["ONESPOOL_TEST_MISHAPS"] ?? "";

function happens(mishap: Mishap): boolean {
  return fs.existsSync(join(directory, mishap));
}

function happensOnce(mishap: Mishap): boolean {
  if (!happens(mishap)) return false;
  fs.rmSync(join(directory, mishap));
  return true;
}

function meetMishaps(): void {
  const { writeSync, writevSync } = fs;
  const { spawn } = childProcess;
  const { readFile } = fs.promises;
  const isLost = (descriptor: number, length: number): boolean => {
    if (descriptor !== DEVICE) return false;
    if (happensOnce("death at init")) process.kill(process.pid, "SIGKILL");
    return length > LONG && happens("lost reads");
  };
  fs.writeSync = ((descriptor: number, bytes: Buffer, ...rest: number[]) => {
    const length = rest[1] ?? bytes.length;
    if (isLost(descriptor, length)) return length;
    return writeSync(descriptor, bytes, ...rest);
  }) as typeof fs.writeSync;
  fs.writevSync = ((descriptor: number, parts: Buffer[], position?: number) => {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (isLost(descriptor, length)) return length;
    return writevSync(descriptor, parts, position);
  }) as typeof fs.writevSync;
  childProcess.spawn = ((...args: Parameters<typeof spawn>) => {
    if (args[0] === "mount" && happensOnce("death before mount")) {
      process.kill(process.pid, "SIGKILL");
    }
    return spawn(...args);
  }) as typeof spawn;
  fs.promises.readFile = (async (...args: Parameters<typeof readFile>) => {
    const isSuccessor = process.argv.includes("--successor");
    if (args[0] === "/proc/self/mountinfo" && isSuccessor && happensOnce("no table")) {
      throw new Error("no mount table");
    }
    return readFile(...args);
  }) as typeof readFile;
  syncBuiltinESMExports();
}

if (process.argv.includes("--kept")) meetMishaps();

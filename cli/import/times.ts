/**
 * Sets the times of an open file to the nanosecond. Node gives times as floating-point seconds, which are good to a quarter of
 * a microsecond; where that is not exact, touch(1) of coreutils does it on the open file ("-" is its standard output).
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { FileHandle } from "node:fs/promises";

export interface Times {
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
}

const BILLION = 1_000_000_000n;
const TOUCH_MS_MAX = 20_000;

function secondsOf(ns: bigint): number {
  return Number(ns / BILLION) + Number(ns % BILLION) / 1e9;
}

/** As `date -d @` reads it. */
export function epochText(ns: bigint): string {
  const seconds = ns >= 0n ? ns / BILLION : -((-ns + BILLION - 1n) / BILLION);
  return `@${seconds}.${String(ns - seconds * BILLION).padStart(9, "0")}`;
}

/** Throws when the times cannot be set; without touch(1) they are those that Node can set. */
export async function setTimes(file: FileHandle, times: Times): Promise<void> {
  await file.utimes(secondsOf(times.atimeNs), secondsOf(times.mtimeNs));
  const found = await file.stat({ bigint: true });
  if (found.mtimeNs !== times.mtimeNs) await touch(file.fd, "-m", times.mtimeNs);
  if (found.atimeNs !== times.atimeNs) await touch(file.fd, "-a", times.atimeNs);
}

async function touch(descriptor: number, which: "-a" | "-m", ns: bigint): Promise<void> {
  const child = spawn("touch", [which, "-d", epochText(ns), "-"], {
    cwd: "/",
    stdio: ["ignore", descriptor, "ignore"],
    timeout: TOUCH_MS_MAX,
    killSignal: "SIGKILL",
    detached: true,
  });
  await once(child, "exit").catch(() => undefined);
}

/** For symbolic links, which cannot be opened: as exact as Node is. */
export function nodeTimes({ atimeNs, mtimeNs }: Times): readonly [number, number] {
  return [secondsOf(atimeNs), secondsOf(mtimeNs)];
}

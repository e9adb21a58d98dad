/**
 * Sets the times of an open file to the nanosecond. Node gives times as floating-point seconds, which are good to a quarter of
 * a microsecond; where that is not exact, touch(1) of coreutils does it. A shell runs it, one for the whole import, for it
 * starts programs ten times faster than a large process does; it is given nothing but numbers.
 */
import { spawn, type ChildProcess } from "node:child_process";
import type { FileHandle } from "node:fs/promises";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Skip } from "./failures.ts";

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

/** Skips the file when the times cannot be set; without touch(1) they are those that Node can set. */
export async function setTimes(file: FileHandle, times: Times): Promise<void> {
  await file.utimes(secondsOf(times.atimeNs), secondsOf(times.mtimeNs));
  const found = await file.stat({ bigint: true });
  if (found.mtimeNs === times.mtimeNs && found.atimeNs === times.atimeNs) return;
  const status = await touch(file.fd, times);
  if (status === 0) return;
  if (status !== undefined && status !== STATUS_MISSING) {
    throw new Skip("failed", `touch(1) could not set its times (exit status ${status})`);
  }
  // One of the two may have been set before it ended.
  await file.utimes(secondsOf(times.atimeNs), secondsOf(times.mtimeNs));
}

/** Of the shell, for a program that it does not find. */
const STATUS_MISSING = 127;

/**
 * Takes a line for each file: times of reading and of change, and the descriptor of this process. Answers with
 * touch's exit status.
 */
const SCRIPT = `
while read -r atime mtime fd; do
  touch -c -a -d "$atime" "/proc/$0/fd/$fd" && touch -c -m -d "$mtime" "/proc/$0/fd/$fd"
  echo $?
done`;

let shell: ChildProcess | undefined;

/** It ends with this process, when its standard input does. */
function startShell(): ChildProcess {
  const child = spawn("sh", ["-c", SCRIPT, String(process.pid)], {
    cwd: "/",
    stdio: ["pipe", "pipe", "ignore"],
    detached: true,
  });
  child.on("error", () => undefined);
  child.stdin.on("error", () => undefined);
  child.unref();
  (child.stdin as Socket).unref();
  return child;
}

/** Its exit status; undefined when there is no answer. */
async function touch(descriptor: number, { atimeNs, mtimeNs }: Times): Promise<number | undefined> {
  shell ??= startShell();
  const { stdin, stdout } = shell;
  const given = new AbortController();
  (stdout as Socket).ref();
  const answered = new Promise<number | undefined>((done) => {
    stdout!.once("data", (bytes: Buffer) => done(Number(bytes.toString("latin1"))));
    stdout!.once("close", () => done(undefined));
  });
  stdin!.write(`${epochText(atimeNs)} ${epochText(mtimeNs)} ${descriptor}\n`);
  const late = sleep(TOUCH_MS_MAX, undefined, { signal: given.signal }).catch(() => undefined);
  const status = await Promise.race([answered, late]);
  given.abort();
  stdout!.removeAllListeners("data").removeAllListeners("close");
  (stdout as Socket).unref();
  if (status !== undefined) return status;
  // The answer to this line must not be taken for the next one's.
  shell.kill("SIGKILL");
  shell = undefined;
  return undefined;
}

/** For symbolic links, which cannot be opened: as exact as Node is. */
export function nodeTimes({ atimeNs, mtimeNs }: Times): readonly [number, number] {
  return [secondsOf(atimeNs), secondsOf(mtimeNs)];
}

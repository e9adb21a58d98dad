/**
 * A killed process is not always gone. The thread that tells the kernel of changes (fs/kernel/invalidation-worker.ts)
 * waits in the kernel for pages whose READ is still to be answered, and no signal ends that wait: the process stays, with
 * its locks, until somebody answers, and that can only be its successor. Its first thread is a zombie by then, so it never
 * runs a line of its program again.
 */
import { readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { INDEX_DIRECTORY, LOCK_FILE } from "../store/paths.ts";

/** Programs wait for so long at most because nobody looked. */
const LOOK_MS = 1000;
/** In a row: a process that ends in the ordinary way may be met on its way out. */
const LOOKS = 2;

/** Calls back once when the process is dead and stuck. Returns what ends the watch, to be called at its end. */
export function watchStuck(pid: number, onStuck: () => void): () => void {
  let looks = 0;
  const timer = setInterval(() => {
    looks = isStuck(pid) ? looks + 1 : 0;
    if (looks < LOOKS) return;
    clearInterval(timer);
    onStuck();
  }, LOOK_MS);
  return () => clearInterval(timer);
}

/** Dead, but for one thread: of Node's other threads each may still be about to end. */
export function isStuck(pid: number): boolean {
  try {
    if (stateOf(`/proc/${pid}/stat`) !== "Z") return false;
    const tasks = readdirSync(`/proc/${pid}/task`);
    const left = tasks.filter((task) => stateOf(`/proc/${pid}/task/${task}/stat`) !== "Z");
    const [task] = left;
    return left.length === 1 && task !== undefined && isAtDevice(`/proc/${pid}/task/${task}`);
  } catch {
    // It is gone.
    return false;
  }
}

/**
 * Whether the thread is in a call with the device as its first argument. In another one, which a slow disk makes long, it
 * may be about to change the store, and ends by itself.
 */
function isAtDevice(task: string): boolean {
  // proc_pid_syscall(5): the number of the call and its arguments. Some kernels do not have it.
  const [, descriptor] = contentOf(`${task}/syscall`)?.split(" ") ?? [undefined, ""];
  if (descriptor === "") return true;
  return readlinkSync(`${task}/fd/${Number(descriptor)}`) === "/dev/fuse";
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return undefined;
  }
}

/** proc_pid_stat(5): the letter behind the name, which may hold anything. */
function stateOf(file: string): string | undefined {
  const stat = readFileSync(file, "latin1");
  return stat.slice(stat.lastIndexOf(")") + 2)[0];
}

/**
 * The locks of a stuck process are on files that nobody will open again: its successor makes others. False when the
 * process is not stuck: then its locks count.
 */
export function breakLocks(store: string, pid: number): boolean {
  if (!isStuck(pid)) return false;
  rmSync(join(store, LOCK_FILE), { force: true });
  rmSync(join(store, INDEX_DIRECTORY, "LOCK"), { force: true });
  return true;
}
